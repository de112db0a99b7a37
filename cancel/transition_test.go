package cancel_test

import (
	"context"
	"errors"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestTransitionRules fires every trigger, undeclared ones included, at every kind in every
// state, and compares the result with the rules.
func TestTransitionRules(t *testing.T) {
	t.Parallel()
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			for trigger := range lifecycle.Trigger(40) {
				var repo memrepo.Repo
				was := lifecycle.Request{ID: 1, Kind: k, State: s, Attempt: 7}
				must(t, repo.Insert(was))
				got, err := fire(t.Context(), &repo, 1, trigger)
				stored, getErr := repo.Get(t.Context(), 1)
				must(t, getErr)
				want := was
				to, ruled := lifecycle.Next(k, s, trigger)
				if ruled = ruled && s != lifecycle.StateCancelling && trigger != lifecycle.TriggerCancel; ruled {
					want.State = to
					if k.RunsWork() && (trigger == lifecycle.TriggerStart || trigger == lifecycle.TriggerResume) {
						want.Attempt = 8
					}
				}
				if got != want || stored != want || (err == nil) != ruled || !ruled && !errors.Is(err, esserrors.CodeUnsupportedState) {
					t.Errorf("%v %v by %v: %+v, %v; stored %+v, want %+v", k, s, trigger, got, err, stored, want)
				}
			}
		}
	}
}

// TestTransitionOverLiveChild ends parents in every way there is: with a live child and with
// one that has ended, in stores that are a ParentEnder and in others.
func TestTransitionOverLiveChild(t *testing.T) {
	t.Parallel()
	ended := 0
	for rule := range lifecycle.Rules() {
		if !lifecycle.Terminal.Has(rule.To) || rule.From == lifecycle.StateCancelling || !rule.Kinds.Has(lifecycle.KindSubrequestParent) {
			continue
		}
		for _, live := range []bool{false, true} {
			for _, capable := range []bool{false, true} {
				repo := newRepo(t, "1 SUBREQUEST_PARENT "+rule.From.String()+"; 2<1 CHILD SUCCEEDED; 3<1 CHILD SUCCEEDED")
				if live {
					repo = newRepo(t, "1 SUBREQUEST_PARENT "+rule.From.String()+"; 2<1 CHILD SUCCEEDED; 3<1 CHILD HOLD")
				}
				var store cancel.Repository = repo
				if !capable {
					store = struct{ cancel.Repository }{repo}
				}
				got, err := fire(t.Context(), store, 1, rule.Trigger)
				oneStep := lifecycle.AdmitsChildren(lifecycle.KindSubrequestParent, rule.From)
				want := rule.From
				switch {
				case live:
					if !errors.Is(err, esserrors.CodeConflict) || !errors.Is(err, cancel.ErrLiveChild) {
						t.Errorf("%v by %v over a live child: %v", rule.From, rule.Trigger, err)
					}
				case oneStep && !capable:
					if !errors.Is(err, esserrors.CodeUnsupportedState) || !errors.Is(err, errors.ErrUnsupported) {
						t.Errorf("%v by %v in a store of three methods: %v", rule.From, rule.Trigger, err)
					}
				default:
					ended++
					want = rule.To
					must(t, err)
				}
				if r, _ := repo.Get(t.Context(), 1); r.State != want || got != r {
					t.Errorf("%v by %v, live child %v, capable %v: %v, stored %v, want %v", rule.From, rule.Trigger, live, capable, got, r, want)
				}
			}
		}
	}
	if ended < 10 {
		t.Errorf("only %d parents were ended", ended)
	}
}

// TestTransitionMeetsSubmit submits a child before every call that the end of a parent
// makes of the store: either the child is not admitted or the parent does not end.
func TestTransitionMeetsSubmit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		state   string
		trigger lifecycle.Trigger
	}{{"COMPLETED", lifecycle.TriggerSucceed}, {"RUNNING", lifecycle.TriggerFail}} {
		for call := int64(1); call <= 4; call++ {
			repo := newRepo(t, "1 SUBREQUEST_PARENT "+tt.state)
			var admitted error
			f := &fake{Repository: repo}
			f.before = func(n int64) error {
				if n == call {
					admitted = repo.Submit(context.Background(), lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
				}
				return nil
			}
			_, err := fire(t.Context(), ending{f, repo}, 1, tt.trigger)
			if f.calls.Load() < call {
				break
			}
			r, _ := repo.Get(t.Context(), 1)
			if (admitted == nil) == lifecycle.Terminal.Has(r.State) || (err == nil) != lifecycle.Terminal.Has(r.State) {
				t.Errorf("%s by %v, a child at call %d: %v; the parent is %v, %v", tt.state, tt.trigger, call, admitted, r.State, err)
			}
		}
	}
}

// ending is a fake that can end parents.
type ending struct {
	*fake
	repo *memrepo.Repo
}

func (e ending) EndParent(ctx context.Context, ch cancel.Change) (bool, error) {
	if err := e.call(); err != nil {
		return false, err
	}
	return e.repo.EndParent(ctx, ch)
}

// TestTransitionSettles ends, by a transition, a child whose ancestors are CANCELLING.
func TestTransitionSettles(t *testing.T) {
	t.Parallel()
	each(t, "1 PARENT CANCELLING; 2<1 PARENT CANCELLING; 3<2 CHILD COMPLETED; 4 SINGLETON READY", func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
		var told cancel.EndInfo
		c := cancel.New(seen, &cancel.Options{Hooks: cancel.Hooks{End: func(_ context.Context, info cancel.EndInfo) { told = info }}})
		r, err := c.Transition(t.Context(), cancel.Order{ID: 3, Actor: "sched"}, lifecycle.TriggerWarn)
		if err != nil || r.State != lifecycle.StateWarning || states(repo) != "1 CANCELLED; 2 CANCELLED; 3 WARNING; 4 READY" {
			t.Errorf("%v, %v; %s", r, err, states(repo))
		}
		if told.Op != cancel.OpTransition || told.Result.Counts[cancel.DispositionSettled] != 2 || told.Result.Counts.Total() != 2 {
			t.Errorf("the hooks were told %+v", told)
		}
		// The cause of a transition is not that of a cancel.
		if cause, err := repo.Cause(t.Context(), 3); err != nil || cause != (cancel.Cause{}) {
			t.Errorf("cause %+v, %v", cause, err)
		}
	})
}

// TestTransitionMeetsAnother has somebody else change the request before the write.
func TestTransitionMeetsAnother(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 SINGLETON READY; 2 SINGLETON READY; 3 SUBREQUEST_PARENT RUNNING")
	f := &fake{Repository: repo}
	c := cancel.New(ending{f, repo}, &cancel.Options{MaxAttempts: 3})
	once := func(quicker func()) {
		f.calls.Store(0)
		f.before = func(n int64) error {
			if n == 2 {
				quicker()
			}
			return nil
		}
	}
	once(func() { _, _ = cancel.New(repo, nil).Cancel(t.Context(), cancel.Order{ID: 1}) })
	r, err := c.Transition(t.Context(), cancel.Order{ID: 1}, lifecycle.TriggerStart)
	if !errors.Is(err, esserrors.CodeUnsupportedState) || r.State != lifecycle.StateCancelled {
		t.Errorf("start of what has just been cancelled: %v, %v", r, err)
	}
	f.apply = func(context.Context, []cancel.Change) ([]bool, error) { return []bool{false}, nil }
	f.before = nil
	if r, err := c.Transition(t.Context(), cancel.Order{ID: 2}, lifecycle.TriggerStart); !errors.Is(err, esserrors.CodeConflict) || r.State != lifecycle.StateReady {
		t.Errorf("a request that keeps changing: %v, %v", r, err)
	}
	f.apply = nil
	for n := int64(1); n <= 3; n++ { // Get, Children, EndParent
		f.calls.Store(0)
		f.before = func(call int64) error {
			if call == n {
				return errDisk
			}
			return nil
		}
		if _, err := c.Transition(t.Context(), cancel.Order{ID: 3}, lifecycle.TriggerFail); !errors.Is(err, esserrors.CodeSystem) || !errors.Is(err, errDisk) {
			t.Errorf("the store fails at call %d: %v", n, err)
		}
	}
	f.before = nil
	if _, err := c.Transition(t.Context(), cancel.Order{ID: 9}, lifecycle.TriggerFail); !errors.Is(err, esserrors.CodeNotFound) {
		t.Errorf("what is not there: %v", err)
	}
}
