package cancel_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestNewChecks checks that mistakes of the programmer are found at once.
func TestNewChecks(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]func(){
		"nil Repository": func() { cancel.New(nil, nil) },
		"PageSize":       func() { cancel.New(&memrepo.Repo{}, &cancel.Options{PageSize: -1}) },
		"MaxAttempts":    func() { cancel.New(&memrepo.Repo{}, &cancel.Options{MaxAttempts: -1}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New with a bad %s did not panic", name)
				}
			}()
			f()
		}()
	}
}

func TestAuthorizer(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	tests := []struct {
		name string
		auth cancel.AuthorizerFunc
		want error
	}{
		{"yes", func(context.Context, cancel.Access) error { return nil }, nil},
		{"no", func(context.Context, cancel.Access) error { return no }, esserrors.CodeNotAuthorized},
		{"panics", func(context.Context, cancel.Access) error { panic("nil map") }, esserrors.CodeNotAuthorized},
		{"fails with a code of its own", func(context.Context, cancel.Access) error { return esserrors.CodeNotFound }, esserrors.CodeNotAuthorized},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked []cancel.Access
			f := &fake{Repository: newRepo(t, "1 SINGLETON RUNNING")}
			auth := func(ctx context.Context, a cancel.Access) error {
				asked = append(asked, a)
				if f.calls.Load() > 0 {
					t.Error("asked after the store was called")
				}
				return tt.auth(ctx, a)
			}
			c := cancel.New(f, &cancel.Options{Authorizer: cancel.AuthorizerFunc(auth), Grace: -1})
			for _, op := range []func(context.Context, cancel.Order) (cancel.Result, error){c.Cancel, c.Fence, c.Force} {
				f.calls.Store(0)
				_, err := op(t.Context(), cancel.Order{ID: 1, Actor: "ann"})
				if code := esserrors.CodeOf(err); tt.want == nil && err != nil || tt.want != nil && code != esserrors.CodeNotAuthorized {
					t.Errorf("error %v, want %v", err, tt.want)
				}
				if tt.want != nil && f.calls.Load() != 0 {
					t.Errorf("%d calls of the store without authorization", f.calls.Load())
				}
			}
			want := []cancel.Access{{Op: "cancel", ID: 1, Actor: "ann"}, {Op: "cancel", ID: 1, Actor: "ann"}, {Op: "force", ID: 1, Actor: "ann"}}
			if diff := gocmp.Diff(want, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the caller stops meanwhile", func(t *testing.T) {
		t.Parallel()
		ctx, stop := context.WithCancel(t.Context())
		f := &fake{Repository: newRepo(t, "1 SINGLETON RUNNING")}
		c := cancel.New(f, &cancel.Options{Authorizer: cancel.AuthorizerFunc(func(ctx context.Context, _ cancel.Access) error {
			stop()
			return errors.New("token service: timeout")
		})})
		_, err := c.Cancel(ctx, cancel.Order{ID: 1})
		if !errors.Is(err, context.Canceled) || errors.Is(err, esserrors.CodeNotAuthorized) || f.calls.Load() != 0 {
			t.Errorf("error %v after %d calls", err, f.calls.Load())
		}
	})
}

// TestInterrupterFails has the Interrupter fail. The cancel succeeds, and reports that.
func TestInterrupterFails(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]cancel.InterrupterFunc{
		"error": func(context.Context, []lifecycle.ID, cancel.Cause) error { return errDisk },
		"panic": func(context.Context, []lifecycle.ID, cancel.Cause) error { panic(errDisk) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT")
			c := cancel.New(repo, &cancel.Options{Interrupter: in})
			res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || res.InterruptErr == nil || !strings.Contains(res.InterruptErr.Error(), errDisk.Error()) || res.Interrupted != 0 {
				t.Errorf("Cancel = %+v, %v", res, err)
			}
			if got := states(repo); got != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED" {
				t.Error(got)
			}
		})
	}
}

// TestInterruptAfterWrite checks that work is told when the store says CANCELLING, and
// not before.
func TestInterruptAfterWrite(t *testing.T) {
	t.Parallel()
	each(t, "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT; 4<1 CHILD COMPLETED",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			told := 0
			c := cancel.New(seen, &cancel.Options{PageSize: 2, Interrupter: cancel.InterrupterFunc(
				func(ctx context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
					for _, id := range ids {
						told++
						if r, err := repo.Get(ctx, id); err != nil || r.State != lifecycle.StateCancelling {
							t.Errorf("told %d while it was %v (%v)", id, r.State, err)
						}
					}
					return nil
				})})
			res, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
			if err != nil || told != 3 || res.Interrupted != 3 {
				t.Errorf("told %d, Result says %d, error %v", told, res.Interrupted, err)
			}
		})
}
