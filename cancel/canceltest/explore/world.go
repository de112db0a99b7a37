package explore

import (
	"context"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/lifecycle"
)

// A World is a small tree of requests and some actors that work on it at the same
// time. [Explore] runs it in every order in which their steps can happen.
//
// Keep worlds small: two to four actors and two to five requests already have
// millions of orders, and show what can go wrong.
type World struct {
	// Name is for reports.
	Name string
	// Tree is what the store holds in the beginning, drawn as Snapshot.String draws
	// it: a line for each request, with id, kind, state and perhaps an outcome, as
	// in "7 PARENT CANCELLING (then CANCELLED)", and children indented below
	// their parents.
	Tree string
	// Requests are what it holds if Tree is empty, parents before their children.
	Requests []lifecycle.Request
	// Actors are who is at work. Their names are different from each other.
	Actors []Actor

	// Options are those of every Canceller in this world. Now and Interrupter are
	// replaced: the time stands still (see [Actor.Ahead]), and work is told
	// through [Env.Run].
	Options *cancel.Options
	// Harness makes the store. The zero Harness makes a memrepo.Repo.
	Harness canceltest.Harness
	// View, if not nil, hides capabilities of the store from the actors: it is
	// [canceltest.Plain] or [canceltest.ByLevel].
	View func(repo cancel.Repository) cancel.Repository
	// Repository, if not nil, returns what an actor's Canceller works on. By
	// default that is [Env.Repository]: the store, with a step for every call. A
	// repository under test that is made of several statements makes each of
	// them a step with [Env.Step].
	Repository func(env *Env) cancel.Repository

	// NoReceipts calls every operation without a [cancel.Order] Receipt, which takes
	// shorter ways through package cancel.
	NoReceipts bool
	// Workers makes the interruption of work a step of its own. It must be set where
	// an actor calls [Env.Run].
	Workers bool
	// Resume adds an actor that calls Resume when all others have finished, died or
	// wait for something, and again if one dies after that. It is implied by an
	// actor that may die or fail. Set it where an actor only begins a cancel, or
	// gives up.
	Resume bool
	// Recover, if not nil, takes the place of the library's Resume wherever that is
	// called after a death, and at every moment for those who die then: it is the
	// scheduler's own way to take up what was cut off.
	Recover func(ctx context.Context, env *Env) error

	// OneEnd says that every order has to end in the same tree.
	OneEnd bool
	// Moves are transitions of the scheduler's own that no rule of package lifecycle
	// permits, and that are meant: they are no violation.
	Moves []canceltest.Move
	// Check, if not nil, is called after every step, with the requests before and
	// after it, for invariants of your own.
	Check func(before, after canceltest.Snapshot) error
	// All has the exploration go on after a violation, behind which nothing is
	// explored. The error then joins a [*Violation] for each thing that goes wrong, in
	// the first order in which it does.
	All bool

	// MaxTurns, if positive, leaves out orders in which the turn is taken more often
	// from an actor that could go on. Most of what goes wrong does so with two. A
	// report then counts the other orders.
	MaxTurns int
	// MaxRuns bounds how often the world is run. Zero means no bound. A
	// report of an exploration that was cut short has Complete unset.
	MaxRuns int
	// MaxSteps is how many steps one run may have before it counts as endless. Zero
	// means 1000.
	MaxSteps int
	// Patience is how long one run may take before the actor whose turn it is counts
	// as stuck: it waits other than by [Env.Await] and [Env.Until]. Zero means ten
	// seconds.
	Patience time.Duration
	// NoMerge explores every order by itself, also where two have led to the same
	// situation: for those who doubt that merging them is right. See [Explore].
	NoMerge bool
}

// An Actor is somebody who does something in a [World]: a process that cancels, work
// that ends, a scheduler that starts or submits a request. [Cancels] and its
// neighbors are actors of the usual kinds.
type Actor struct {
	// Name is for traces and schedules: a word without spaces.
	Name string

	// Run is what the actor does, in any number of steps. A step is one call of the
	// repository, or one of the methods of Env that say so. Other actors come in
	// between steps, nowhere else.
	//
	// Run has to do the same whenever it is told the same: it must not look at the
	// clock, at random numbers, at the order of a map, nor at anything that
	// another actor may change, other than through env. Explore returns an error that
	// names an actor which does not. It makes its steps on the
	// goroutine on which it was called, and may wait only with Env.Await and
	// Env.Until. An error that Run returns is a violation.
	Run func(ctx context.Context, env *Env) error

	// Dies lets the actor die, for good, before any of its steps. To die before the next
	// step is to die with the answer of this one unread.
	Dies bool
	// Faults is how many steps may fail: calls of the repository and those of
	// [Env.Step], Submit and Delete. They return an error matching [ErrFault]. The store
	// may or may not have done what it was called for.
	Faults int
	// ChecksIn says that steps made with [Env.Step] may move the clock of Force of a
	// request that is CANCELLING: the actor is work with a heartbeat of its own. From
	// all others that is a violation.
	ChecksIn bool
	// Last lets the actor begin only when no other can do a step.
	Last bool
	// Ahead is how far the actor's clock is ahead of the others'.
	Ahead time.Duration
}
