package cancel_test

import (
	"context"
	"errors"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// policy is a rule of a scheduler's own about who may cancel what. Only an auditor may cancel
// an audit. Everything else operators may cancel, and others their own requests.
func policy(owners map[lifecycle.ID]string, audits map[lifecycle.ID]bool) cancel.Authorizer {
	return cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error {
		switch {
		case audits[a.ID] && a.Actor != "auditor":
			return errors.New("audits are cancelled by the auditor only")
		case a.Actor == "operator", a.Actor == "auditor" && audits[a.ID]:
			return nil
		case a.Op == "cancel" && a.Actor != "" && owners[a.ID] == a.Actor:
			return nil
		default:
			return errors.New("not the owner")
		}
	})
}

// TestPolicy shows how a scheduler tests its policy by a table: with real operations on
// requests in memory, and a look at the states afterwards.
func TestPolicy(t *testing.T) {
	t.Parallel()
	owners := map[lifecycle.ID]string{1: "ann", 2: "bob"}
	audits := map[lifecycle.ID]bool{2: true}
	tests := []struct {
		name  string
		actor string
		id    lifecycle.ID
		force bool
		want  esserrors.Code // 0 for permitted
		after string
	}{
		{"the owner cancels", "ann", 1, false, 0, "1 CANCELLING; 2 CANCELLING"},
		{"another does not", "bob", 1, false, esserrors.CodeNotAuthorized, "1 RUNNING; 2 CANCELLING"},
		{"nobody does not", "", 1, false, esserrors.CodeNotAuthorized, "1 RUNNING; 2 CANCELLING"},
		{"an operator cancels", "operator", 1, false, 0, "1 CANCELLING; 2 CANCELLING"},
		{"the owner may not force", "bob", 2, true, esserrors.CodeNotAuthorized, "1 RUNNING; 2 CANCELLING"},
		{"nor may an operator an audit", "operator", 2, true, esserrors.CodeNotAuthorized, "1 RUNNING; 2 CANCELLING"},
		{"the auditor may", "auditor", 2, true, 0, "1 RUNNING; 2 CANCELLED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 SINGLETON RUNNING; 2 SINGLETON CANCELLING")
			canceller := cancel.New(repo, &cancel.Options{Authorizer: policy(owners, audits)})
			op := canceller.Cancel
			if tt.force {
				op = canceller.Force
			}
			_, err := op(t.Context(), cancel.Order{ID: tt.id, Actor: tt.actor})
			if got := esserrors.CodeOf(err); got != tt.want {
				t.Errorf("code %v, want %v", got, tt.want)
			}
			if got := states(repo); got != tt.after {
				t.Errorf("%s, want %s", got, tt.after)
			}
		})
	}
}
