package explore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/explore"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A homemade scheduler has a cancel of its own, of which every statement is a step, and
// perhaps one of eight mistakes.
type homemade struct {
	env *explore.Env
	bug string
}

// get is SELECT … WHERE id = ….
func (s homemade) get(ctx context.Context, id lifecycle.ID) (r lifecycle.Request, err error) {
	err = s.env.Step(ctx, fmt.Sprint("SELECT ", id), func(ctx context.Context, store cancel.Repository) error {
		r, err = store.Get(ctx, id)
		return err
	})
	return r, err
}

// kids is SELECT … WHERE parent = ….
func (s homemade) kids(ctx context.Context, id lifecycle.ID) (kids []lifecycle.Request, err error) {
	q := cancel.ChildQuery{Parents: []lifecycle.ID{id}, States: lifecycle.Live | lifecycle.Terminal, Limit: 100}
	if s.bug == "only the first child" {
		q.Limit = 1
	}
	err = s.env.Step(ctx, fmt.Sprint("SELECT children of ", id), func(ctx context.Context, store cancel.Repository) error {
		kids, err = store.Children(ctx, q)
		return err
	})
	return kids, err
}

// update is UPDATE … WHERE id = … AND state = …, or without the second condition.
func (s homemade) update(ctx context.Context, old lifecycle.Request, to lifecycle.State, blindly bool) (made bool, err error) {
	ch := cancel.Change{Old: old, State: to, CheckedIn: old.CheckedIn}
	if to == lifecycle.StateCancelling {
		ch.CheckedIn = s.env.Now()
	}
	err = s.env.Step(ctx, fmt.Sprint("UPDATE ", old.ID), func(ctx context.Context, store cancel.Repository) error {
		if blindly {
			if ch.Old, err = store.Get(ctx, old.ID); err != nil {
				return err
			}
		}
		ok, err := store.Apply(ctx, []cancel.Change{ch})
		made = err == nil && ok[0]
		return err
	})
	return made, err
}

// move takes a request from one state to another, if it is in that.
func (s homemade) move(ctx context.Context, id lifecycle.ID, from, to lifecycle.State, bug string) error {
	r, err := s.get(ctx, id)
	if err != nil || r.State != from {
		return err
	}
	_, err = s.update(ctx, r, to, s.bug == bug)
	return err
}

// fail ends an attempt; at first the request is tried again.
func (s homemade) fail(ctx context.Context, id lifecycle.ID) error {
	r, err := s.get(ctx, id)
	switch {
	case err != nil || lifecycle.Terminal.Has(r.State):
		return err
	case r.State == lifecycle.StateCancelling && s.bug != "a cancelled job is tried again":
		if _, err = s.update(ctx, r, lifecycle.StateCancelled, false); err != nil {
			return err
		}
		return s.settle(ctx, r.Parent)
	default:
		_, err = s.update(ctx, r, lifecycle.StateErrorAutoRetry, false)
		return err
	}
}

// submit inserts a child below a parent that admits one.
func (s homemade) submit(ctx context.Context, r lifecycle.Request) error {
	if s.bug != "a submission looks first" {
		_ = s.env.Submit(ctx, r) // refused if the parent admits none
		return nil
	}
	parent, err := s.get(ctx, r.Parent)
	if err != nil || lifecycle.Admit(parent) != nil {
		return err
	}
	return s.env.Step(ctx, "INSERT", func(_ context.Context, store cancel.Repository) error { return store.(*memrepo.Repo).Insert(r) })
}

// cancel fences a parent, cancels its children, and ends it if none of them works.
func (s homemade) cancel(ctx context.Context, id lifecycle.ID) error {
	for {
		r, err := s.get(ctx, id)
		if err != nil || lifecycle.Terminal.Has(r.State) {
			return err
		}
		if r.State == lifecycle.StateCancelling && s.bug != "a second cancel restarts the grace" {
			break
		}
		to := lifecycle.StateCancelled
		if r.Kind.HasChildren() || lifecycle.Executes(r.Kind, r.State) {
			to = lifecycle.StateCancelling
		}
		made, err := s.update(ctx, r, to, false)
		if err != nil || made && !r.Kind.HasChildren() {
			return err
		}
		if made {
			break
		}
	}
	kids, err := s.kids(ctx, id)
	for _, kid := range kids {
		if lifecycle.Terminal.Has(kid.State) && s.bug == "an ended child ends the cancel" {
			return nil
		}
		if err == nil {
			err = s.cancel(ctx, kid.ID)
		}
	}
	return errors.Join(err, s.settle(ctx, id))
}

// settle ends a parent that is CANCELLING and has no live child.
func (s homemade) settle(ctx context.Context, id lifecycle.ID) error {
	kids, err := s.kids(ctx, id)
	waits := slices.ContainsFunc(kids, func(r lifecycle.Request) bool {
		return lifecycle.Live.Has(r.State) && !(r.State == lifecycle.StateCancelling && s.bug == "the parent does not wait")
	})
	if err != nil || waits {
		return err
	}
	return s.move(ctx, id, lifecycle.StateCancelling, lifecycle.StateCancelled, "")
}

// Which world finds which mistake of a scheduler: each in a few milliseconds.
func Example_bugs() {
	for _, bug := range []string{
		"", "a start overwrites", "a submission looks first", "an end overwrites", "a cancelled job is tried again",
		"a second cancel restarts the grace", "the parent does not wait", "only the first child", "an ended child ends the cancel",
	} {
		does := func(name string, f func(ctx context.Context, s homemade) error) explore.Actor {
			return explore.Actor{Name: name, Run: func(ctx context.Context, env *explore.Env) error { return f(ctx, homemade{env, bug}) }}
		}
		ann := does("ann", func(ctx context.Context, s homemade) error {
			err := s.cancel(ctx, 1)
			if err == nil {
				s.env.Cancelled(1) // from here on nothing below it may be live
			}
			return err
		})
		bob := ann
		bob.Name, bob.Ahead, bob.Last = "bob", time.Minute, true
		const tree = "1 PARENT RUNNING\n  2 CHILD READY\n  3 CHILD RUNNING"
		found := "nothing"
		for _, w := range []explore.World{
			{Name: "start", Tree: tree, Actors: []explore.Actor{ann, does("worker", func(ctx context.Context, s homemade) error {
				return s.move(ctx, 2, lifecycle.StateReady, lifecycle.StateRunning, "a start overwrites")
			})}},
			{Name: "submit", Tree: tree, Actors: []explore.Actor{ann, does("client", func(ctx context.Context, s homemade) error {
				return s.submit(ctx, lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateReady})
			})}},
			{Name: "end", Tree: tree, Actors: []explore.Actor{ann, does("worker", func(ctx context.Context, s homemade) error {
				return s.move(ctx, 3, lifecycle.StateRunning, lifecycle.StateCompleted, "an end overwrites")
			})}},
			{Name: "fail", Tree: tree, Actors: []explore.Actor{ann, does("worker", func(ctx context.Context, s homemade) error { return s.fail(ctx, 3) })}},
			{Name: "again", Tree: tree, Actors: []explore.Actor{ann, bob}},
			{Name: "ended", Tree: "1 PARENT RUNNING\n  2 CHILD SUCCEEDED\n  3 CHILD READY", Actors: []explore.Actor{ann}},
		} {
			_, err := explore.Explore(context.Background(), w)
			if v, ok := errors.AsType[*explore.Violation](err); ok {
				text, _, _ := strings.Cut(v.Err.Error(), "\n")
				found = fmt.Sprintf("world %q: %s", w.Name, text)
				break
			}
		}
		fmt.Printf("%s\n    %s\n", strings.TrimSpace("mistake: "+bug), found)
	}
	// Output:
	// mistake:
	//     nothing
	// mistake: a start overwrites
	//     world "start": 1 (terminal is final): request 2 went from CANCELLED to RUNNING
	// mistake: a submission looks first
	//     world "submit": 3 (no escape): child 4 slipped in under parent 1, which was CANCELLING
	// mistake: an end overwrites
	//     world "end": 2 (only rules' transitions): CHILD request 3 went from CANCELLING to COMPLETED
	// mistake: a cancelled job is tried again
	//     world "fail": 2 (only rules' transitions): CHILD request 3 went from CANCELLING to ERROR_AUTO_RETRY
	// mistake: a second cancel restarts the grace
	//     world "again": 6 (cancelling again changes nothing): a step moved the clock of Force of request 1 from 2026-03-31 22:00:00 +0000 UTC to 2026-03-31 22:01:00 +0000 UTC
	// mistake: the parent does not wait
	//     world "start": 4 (a parent ends last): request 1 became CANCELLED while child 3 was CANCELLING
	// mistake: only the first child
	//     world "start": 4 (a parent ends last): request 1 became CANCELLED while child 3 was RUNNING
	// mistake: an ended child ends the cancel
	//     world "ended": 3 (no escape): request 3 is READY after request 1 was cancelled
}
