package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestForeignCodes has stores and authorizers fail with errors that wrap codes of this
// module. The code of an operation's error is a decision of this package all the same.
func TestForeignCodes(t *testing.T) {
	t.Parallel()
	for code := range esserrors.Codes() {
		for name, foreign := range map[string]error{
			"a code":    fmt.Errorf("remote: %w", code),
			"an error":  fmt.Errorf("remote: %w", &esserrors.Error{Code: code, Op: "select", ID: 77, Wait: time.Hour}),
			"with disk": errors.Join(code, errDisk),
		} {
			fails := func(id lifecycle.ID) *fake {
				repo := newRepo(t, "1 PARENT RUNNING; 2<1 PARENT RUNNING; 3<2 CHILD WAIT; 4<1 CHILD WAIT; 5 PARENT CANCELLING; 6<5 CHILD CANCELLING")
				f := &fake{Repository: repo}
				f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
					for _, ch := range changes {
						if ch.Old.ID == id {
							return nil, foreign
						}
					}
					return repo.Apply(ctx, changes)
				}
				return f
			}
			check := func(what string, err error, want esserrors.Code) {
				t.Helper()
				if !errors.Is(err, want) || esserrors.CodeOf(err) != want {
					t.Errorf("%s with %v (%s): %v", what, foreign, name, err)
				}
				for other := range esserrors.Codes() {
					if other != want && errors.Is(err, other) {
						t.Errorf("%s with %v: %v matches %v too", what, foreign, err, other)
					}
				}
				if _, ok := esserrors.RetryAfter(err); ok {
					t.Errorf("%s with %v: %v says when to try again", what, foreign, err)
				}
				if name == "with disk" && !errors.Is(err, errDisk) {
					t.Errorf("%s with %v: %v has lost the cause", what, foreign, err)
				}
			}
			for id := lifecycle.ID(1); id <= 4; id++ {
				res, err := cancel.New(fails(id), nil).Cancel(t.Context(), cancel.Order{ID: 1})
				check(fmt.Sprintf("Cancel, request %d fails", id), err, esserrors.CodeSystem)
				if want := min(int(id)-1, 1); res.Counts[cancel.DispositionFailed] != want || res.Counts[cancel.DispositionConflict] != 0 {
					t.Errorf("Cancel, request %d fails with %v: %v", id, foreign, res.Counts)
				}
			}
			_, err := cancel.New(fails(5), nil).Acknowledge(t.Context(), cancel.Order{ID: 6}, lifecycle.StateCancelled)
			check("Acknowledge", err, esserrors.CodeSystem)
			_, err = cancel.New(fails(5), nil).Resume(t.Context(), nil)
			if err != nil { // nothing was due
				t.Error(err)
			}
			_, err = fire(t.Context(), fails(4), 4, lifecycle.TriggerHold)
			check("Transition", err, esserrors.CodeSystem)
			_, err = cancel.New(newRepo(t, "1 SINGLETON WAIT"), &cancel.Options{
				Authorizer: cancel.AuthorizerFunc(func(context.Context, cancel.Access) error { return foreign }),
			}).Cancel(t.Context(), cancel.Order{ID: 1})
			check("Authorizer", err, esserrors.CodeNotAuthorized)
			// The error of a caller that has stopped has no code.
			ctx, stop := context.WithCancel(t.Context())
			f := fails(0)
			f.get = func(context.Context, lifecycle.ID) (lifecycle.Request, error) {
				stop()
				return lifecycle.Request{}, errors.Join(foreign, errDisk)
			}
			if code == esserrors.CodeNotFound {
				stop()
				continue // that is what Get says of a request that is not there
			}
			_, err = cancel.New(f, nil).Cancel(ctx, cancel.Order{ID: 1})
			if !errors.Is(err, context.Canceled) || errors.Is(err, code) || !errors.Is(err, errDisk) {
				t.Errorf("a stopped caller with %v: %v", foreign, err)
			}
		}
	}
}
