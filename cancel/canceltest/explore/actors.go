package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// Cancels returns an actor that cancels a request. It is content if the request has
// ended before, or was deleted since.
func Cancels(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		_, err := env.Cancel(ctx, id)
		return env.unless(err, esserrors.CodeUnsupportedState, esserrors.CodeNotFound)
	}}
}

// Fences returns an actor that fences a request. Set [World.Resume].
func Fences(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		_, err := env.Fence(ctx, id)
		return env.unless(err, esserrors.CodeUnsupportedState)
	}}
}

// Resumes returns an actor that resumes while others are at work.
func Resumes(name string) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		_, err := env.Resume(ctx)
		return env.unless(err)
	}}
}

// Acknowledges returns an actor that is the work of a request: when the request is
// CANCELLING it acknowledges with the outcome, once.
func Acknowledges(name string, id lifecycle.ID, outcome lifecycle.State) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		env.Until(fmt.Sprintf("request %d is CANCELLING", id), func(s canceltest.Snapshot) bool { return s[id].State == lifecycle.StateCancelling })
		return env.acknowledge(ctx, id, outcome)
	}}
}

// ChecksIn returns an actor that is the work of a request: when the request is
// CANCELLING it checks in and then acknowledges with the outcome.
func ChecksIn(name string, id lifecycle.ID, outcome lifecycle.State) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		env.Until(fmt.Sprintf("request %d is CANCELLING", id), func(s canceltest.Snapshot) bool { return s[id].State == lifecycle.StateCancelling })
		in, err := env.CheckIn(ctx, id)
		if errors.Is(err, esserrors.CodeUnsupportedState) {
			return nil // forced
		}
		if err := env.unless(err); err != nil {
			return err
		}
		if err == nil && !in.Cancelling {
			return fmt.Errorf("request %d is CANCELLING, and CheckIn does not say so", id)
		}
		return env.acknowledge(ctx, id, outcome)
	}}
}

// Finishes returns an actor that is the work of a request and its scheduler: it makes
// the transitions by which the request ends, or acknowledges with the outcome if a
// cancel was quicker.
func Finishes(name string, id lifecycle.ID, outcome lifecycle.State, triggers ...lifecycle.Trigger) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		done, err := env.transitions(ctx, id, triggers)
		if done || err != nil {
			return err
		}
		err = env.acknowledge(ctx, id, outcome)
		return env.unless(err, esserrors.CodeUnsupportedState, esserrors.CodeNotFound) // it was cancelled before it could start
	}}
}

// Transitions returns an actor that is a scheduler: it makes transitions of a request,
// up to the first that is refused.
func Transitions(name string, id lifecycle.ID, triggers ...lifecycle.Trigger) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		_, err := env.transitions(ctx, id, triggers)
		return err
	}}
}

// Deletes returns an actor that deletes a request when it has ended.
func Deletes(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		env.Until(fmt.Sprintf("request %d has ended", id), func(s canceltest.Snapshot) bool { return lifecycle.Terminal.Has(s[id].State) })
		return env.unless(env.Delete(ctx, id))
	}}
}

// Submits returns an actor that submits requests one after the other. It is content
// if their parents do not admit them.
func Submits(name string, requests ...lifecycle.Request) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		for _, r := range requests {
			if err := env.Submit(ctx, r); err != nil {
				return env.unless(err, esserrors.CodeUnsupportedState, esserrors.CodeNotFound)
			}
		}
		return nil
	}}
}

// Forces returns an actor that forces a request when it is CANCELLING. Its clock is a day
// ahead: set [Actor.Ahead] for another. It is content if the request has ended before,
// or if it comes too early.
func Forces(name string, id lifecycle.ID) Actor {
	return Actor{Name: name, Ahead: 24 * time.Hour, Run: func(ctx context.Context, env *Env) error {
		env.Until(fmt.Sprintf("request %d is CANCELLING", id), func(s canceltest.Snapshot) bool { return s[id].State == lifecycle.StateCancelling })
		_, err := env.Force(ctx, id)
		if early(err) {
			return nil
		}
		return env.unless(err, esserrors.CodeUnsupportedState)
	}}
}

// StartsAndWorks returns an actor that is a scheduler with a worker: it looks whether a
// request is READY, starts it if it still is, runs its work, waits to be cancelled,
// and lets the work end with what ends returns. Set [World.Workers].
func StartsAndWorks(name string, id lifecycle.ID, ends func(ctx context.Context) error) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		if r, err := env.repo.Get(ctx, id); err != nil || r.State != lifecycle.StateReady {
			return env.unless(err)
		}
		r, err := env.Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerStart)
		if err != nil {
			return env.unless(err, esserrors.CodeUnsupportedState)
		}
		return env.works(ctx, r, func(ctx context.Context) error {
			env.Await(ctx)
			return ends(ctx)
		})
	}}
}

// Works returns an actor that is the worker of a request which is RUNNING: it runs its
// work, waits to be cancelled, and lets the work end with what ends returns. Set
// [World.Workers].
func Works(name string, id lifecycle.ID, ends func(ctx context.Context) error) Actor {
	return worksThrough(name, id, func(ctx context.Context, env *Env) error {
		env.Await(ctx)
		return ends(ctx)
	})
}

// worksThrough returns an actor that runs the work of a request which is RUNNING from the
// beginning.
func worksThrough(name string, id lifecycle.ID, work func(ctx context.Context, env *Env) error) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, env *Env) error {
		return env.works(ctx, env.a.run.w.request(id), func(ctx context.Context) error { return work(ctx, env) })
	}}
}

// request returns a request as it was in the beginning.
func (w *World) request(id lifecycle.ID) lifecycle.Request {
	return w.Requests[slices.IndexFunc(w.Requests, func(r lifecycle.Request) bool { return r.ID == id })]
}

// works runs work, and is content if it was cancelled, ended with an error of its own,
// or if another worker has answered for it.
func (e *Env) works(ctx context.Context, r lifecycle.Request, work func(ctx context.Context) error) error {
	var ended error
	err := e.Run(ctx, r, func(ctx context.Context) error {
		ended = work(ctx)
		return ended
	}, nil)
	if _, cancelled := errors.AsType[*cancel.CancelledError](err); cancelled || err == ended { // exactly that, with nothing joined to it
		return nil
	}
	return e.unless(err, esserrors.CodeUnsupportedState, esserrors.CodeConflict)
}

// acknowledge acknowledges, once more if the store fails. It is content if somebody
// else has ended the request: by force, or by an answer of its own.
func (e *Env) acknowledge(ctx context.Context, id lifecycle.ID, outcome lifecycle.State) error {
	_, err := e.Acknowledge(ctx, id, outcome)
	for range e.a.spec.Faults {
		if errors.Is(err, esserrors.CodeSystem) {
			_, err = e.Acknowledge(ctx, id, outcome)
		}
	}
	return e.unless(err, esserrors.CodeConflict, esserrors.CodeNotFound)
}

// transitions makes transitions up to the first that is refused. It reports whether all
// were made.
func (e *Env) transitions(ctx context.Context, id lifecycle.ID, triggers []lifecycle.Trigger) (bool, error) {
	for _, t := range triggers {
		if _, err := e.Transition(ctx, cancel.Order{ID: id}, t); errors.Is(err, cancel.ErrLiveChild) {
			return false, nil
		} else if err != nil {
			return false, e.unless(err, esserrors.CodeUnsupportedState, esserrors.CodeNotFound)
		}
	}
	return true, nil
}

// unless returns err, but nil if it has one of the codes, comes from a fault that the
// store was made to have, or from few attempts.
func (e *Env) unless(err error, codes ...esserrors.Code) error {
	for _, code := range codes {
		if errors.Is(err, code) {
			return nil
		}
	}
	if errors.Is(err, ErrFault) {
		return nil
	}
	if opts := e.a.run.w.Options; opts != nil && opts.MaxAttempts > 0 && errors.Is(err, esserrors.CodeConflict) {
		return nil // that is what a bound on attempts is for
	}
	return err
}
