package lifecycle_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/ess/lifecycle"
)

func TestRequestValidate(t *testing.T) {
	t.Parallel()
	good := lifecycle.Request{ID: 7, Parent: 3, Kind: lifecycle.KindChild, State: lifecycle.StateCancelling}
	tests := []struct {
		name   string
		change func(r *lifecycle.Request)
		want   string // "" means that the request can exist
	}{
		{"good", func(*lifecycle.Request) {}, ""},
		{"root", func(r *lifecycle.Request) { r.Parent = 0 }, ""},
		{"largest id", func(r *lifecycle.Request) { r.ID = 1<<63 - 1 }, ""},
		{"zero", func(r *lifecycle.Request) { *r = lifecycle.Request{} }, "lifecycle: request 0: id is not positive"},
		{"id zero", func(r *lifecycle.Request) { r.ID = 0 }, "lifecycle: request 0: id is not positive"},
		{"id negative", func(r *lifecycle.Request) { r.ID = -7 }, "lifecycle: request -7: id is not positive"},
		{"parent negative", func(r *lifecycle.Request) { r.Parent = -1 }, "lifecycle: request 7: parent id is negative"},
		{"own parent", func(r *lifecycle.Request) { r.Parent = 7 }, "lifecycle: request 7: is its own parent"},
		{"kind zero", func(r *lifecycle.Request) { r.Kind = 0 }, "lifecycle: request 7: unknown kind Kind(0)"},
		{"kind undeclared", func(r *lifecycle.Request) { r.Kind = 5 }, "lifecycle: request 7: unknown kind Kind(5)"},
		{"state zero", func(r *lifecycle.Request) { r.State = 0 }, "lifecycle: request 7: unknown state State(0)"},
		{"state undeclared", func(r *lifecycle.Request) { r.State = 20 }, "lifecycle: request 7: unknown state State(20)"},
		{"checked in", func(r *lifecycle.Request) { r.CheckedIn = time.Unix(1, 0) }, ""},
		{"attempt", func(r *lifecycle.Request) { r.Attempt = 3 }, ""},
		{"attempt negative", func(r *lifecycle.Request) { r.Attempt = -1 }, "lifecycle: request 7: attempt is negative"},
		{"version", func(r *lifecycle.Request) { r.Version = "v1" }, ""},
		{"outcome in another state", func(r *lifecycle.Request) {
			r.State, r.Outcome = lifecycle.StateRunning, lifecycle.StateCancelled
		}, "lifecycle: request 7: has an outcome in state RUNNING"},
		{"outcome after the end", func(r *lifecycle.Request) {
			r.State, r.Outcome = lifecycle.StateCancelled, lifecycle.StateCancelled
		}, "lifecycle: request 7: has an outcome in state CANCELLED"},
		{"outcome undeclared", func(r *lifecycle.Request) { r.Outcome = 99 }, "lifecycle: request 7: State(99) is not an outcome"},
	}
	for _, k := range []lifecycle.Kind{lifecycle.KindSingleton, lifecycle.KindChild, lifecycle.KindParent, lifecycle.KindSubrequestParent} {
		tests = append(tests, struct {
			name   string
			change func(r *lifecycle.Request)
			want   string
		}{"kind " + k.String(), func(r *lifecycle.Request) { r.Kind = k }, ""})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := good
			tt.change(&r)
			wantRequestError(t, r, tt.want)
		})
	}
}

// Every state can be stored, and of every state it is known whether it can be
// what a CANCELLING request ends in.
func TestRequestValidateStates(t *testing.T) {
	t.Parallel()
	outcomes := map[string]bool{"CANCELLED": true, "SUCCEEDED": true, "WARNING": true, "ERROR": true}
	for s := range lifecycle.States() {
		r := lifecycle.Request{ID: 7, Kind: lifecycle.KindChild, State: s}
		wantRequestError(t, r, "")

		r.State, r.Outcome = lifecycle.StateCancelling, s
		want := ""
		if !outcomes[s.String()] {
			want = "lifecycle: request 7: " + s.String() + " is not an outcome"
		}
		wantRequestError(t, r, want)
	}
}

func wantRequestError(t *testing.T, r lifecycle.Request, want string) {
	t.Helper()
	err := r.Validate()
	if want == "" {
		if err != nil {
			t.Errorf("%+v: Validate() = %v, want nil", r, err)
		}
		return
	}
	if err == nil || err.Error() != want {
		t.Errorf("%+v: Validate() = %v, want %q", r, err, want)
		return
	}
	e, ok := errors.AsType[*lifecycle.RequestError](err)
	if !ok || e.ID != r.ID || !strings.HasSuffix(want, ": "+e.Problem) {
		t.Errorf("%+v: Validate() = %#v, want a *RequestError with its id and problem", r, err)
	}
}

func TestRequestJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		request lifecycle.Request
		want    string
	}{
		{
			"least",
			lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait},
			`{"id":1,"kind":"SINGLETON","state":"WAIT"}`,
		},
		{
			"a row that cannot be read",
			lifecycle.Request{ID: 1, Parent: 3},
			`{"id":1,"parent":3,"kind":"","state":""}`,
		},
		{
			"most",
			lifecycle.Request{
				ID: 7, Parent: 3, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StateCancelling, Outcome: lifecycle.StateWarning,
				CheckedIn: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Attempt: 2, Version: "0x1f",
			},
			`{"id":7,"parent":3,"kind":"SUBREQUEST_PARENT","state":"CANCELLING","outcome":"WARNING","checkedIn":"2026-01-02T03:04:05.000006Z","attempt":2,"version":"0x1f"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := json.Marshal(tt.request)
			if string(got) != tt.want || err != nil {
				t.Errorf("Marshal = %s, %v, want %s", got, err, tt.want)
			}
			var back lifecycle.Request
			if err := json.Unmarshal([]byte(tt.want), &back); err != nil || back != tt.request {
				t.Errorf("Unmarshal = %+v, %v, want %+v", back, err, tt.request)
			}
		})
	}
}
