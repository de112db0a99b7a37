// Package cancel cancels the requests of a scheduler, with everything below them, and
// brings each cancel to its end though processes die, requests change meanwhile and
// others cancel too.
//
// The requests stay where they are. The caller implements [Repository], three methods
// over the table that it has, and gives it to [New]:
//
//	canceller := cancel.New(repo, nil)
//	result, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"})
//
// The kinds and states of requests, and the rules by which they change, are those of
// package lifecycle. A request is live until it has ended, in a terminal state. A parent
// can have children, a leaf cannot; a container is a parent that runs no work of its own.
// Package canceltest checks a Repository; package memrepo is one.
//
// # How a cancel proceeds
//
// A request of which no work executes becomes CANCELLED at once. If its work may be
// executing, the request becomes CANCELLING, and an [Interrupter] tells the work to stop.
// When the work has stopped it acknowledges the cancel: it says in which state the
// request ends, with [Canceller.Acknowledge]. A request whose work never does so is ended
// by [Canceller.Force].
//
// A parent always becomes CANCELLING first. On a parent this state is a fence: from then
// on it admits no child ([lifecycle.AdmitsChildren]). So the cascade, which cancels
// everything below the parent in the same way, level by level, misses no child.
// [Canceller.Fence] only puts up the fence.
//
// To settle is to go from CANCELLING to a terminal state. A request is due as soon as
// it need not wait for work of its own, because it has none or the work has
// acknowledged. It settles when it is due and none of its children is live. Whoever
// brings that about also settles it, then looks at its parent, and so on upwards.
//
// What an operation did to a request is a [Disposition]. A [Receipt] tells it of one
// request, and a [Result] counts all. [Canceller.Plan] tells what a cancel would do.
//
// # What the scheduler has to do
//
//  1. Insert a child only if its parent admits one ([lifecycle.Admit]), in the same
//     atomic step.
//  2. Make every other change of state with [Canceller.Transition]. It follows the
//     rules, overwrites nothing that somebody else has written, and ends no parent over
//     a live child. It also counts attempts ([lifecycle.Request.Attempt]): whenever the
//     work of a request is started or resumed, a new attempt begins, which supersedes
//     the earlier ones.
//  3. Run the work of a request that Transition has started with [Workers.Run]. It ends
//     the request when the work has returned, and acknowledges if the request was
//     cancelled meanwhile. Work that runs elsewhere asks [Canceller.CheckIn] whether it
//     is to stop, and calls Acknowledge itself.
//  4. Name the [Workers] as the Interrupter in [Options]. They know the work of their
//     own process only. A process whose work others can cancel calls [Workers.Poll] from
//     time to time, or when it is notified.
//  5. Call [Canceller.Resume] at every start and from time to time ([Repeat] is the
//     loop). It completes what was cut off, and whatever Fence has left.
//  6. Look at [Canceller.Overdue] and force what runs no more. Nothing does so by
//     itself, because only somebody who knows the work can tell that it is gone.
//  7. Delete a request only after it has ended, and give it no other parent:
//     [Repository] says what may happen to a row.
//
// A scheduler that changes states by a statement of its own does what Transition does:
// it asks [lifecycle.Advance], writes only if the stored state is still the one that it
// asked about, and ends no parent that has a live child. A cancel never looks below a
// request that has ended.
//
// # What it can rely on
//
// If the scheduler does its part, this holds. It is a decision of this package, except
// where a method names the specification or the documentation of ESS as its source.
//
//   - Terminal is final, and every change follows a rule of package lifecycle.
//   - Nothing escapes: when Cancel has returned without an error, every request below
//     the one it was asked for has ended or is CANCELLING, and none is added.
//   - A parent ends after its last child.
//   - Every request that is CANCELLING has a way out: its work acknowledges, its last
//     child ends, somebody forces it, or Resume settles it.
//   - Cancelling a request that is CANCELLING succeeds, any number of times and
//     concurrently, and changes nothing that is done.
//   - An operation may be cut off after any call of the store. Resume completes what it
//     has begun.
//   - A Receipt says what the store did. A failure, a lost race or a bound that was
//     reached is never reported as success.
//   - A request that fails, or cannot be read, keeps nothing but what is below it from
//     being cancelled, resumed or listed. Only a store that fails many times in a row
//     ends an operation early.
//   - Work that executes is never CANCELLED without its acknowledgement or Force.
//   - A superseded attempt changes nothing, in a store that keeps attempts.
//   - In which states a tree ends depends neither on the size of pages, nor on the
//     order of ids, nor on what the store can do besides the three methods.
//   - The [Authorizer] is asked before the first call of the store.
//
// # What needs care
//
//   - A transaction of the caller. A Canceller whose Repository works in one must not
//     have Workers as its Interrupter: they would stop work before the commit, and also
//     if there never is one. See [Interrupter].
//   - Work that cancels the tree in which it runs itself. The cancel ends the context of
//     the work; give [Canceller.Cancel] another one, which [context.WithoutCancel] makes.
//   - A process under exec.CommandContext. If the cancel kills it, Cmd.Run returns an
//     error of its own, which reads as a failure of the work. See [Workers.Run].
//   - Clocks that differ. [Canceller.Force] compares two: that of the process which
//     wrote [lifecycle.Request.CheckedIn], and that of its own.
//
// # Capabilities
//
// A capability is an optional interface by which a store can do more than the three
// methods: [TreeCanceller], [ChildCanceller], [Settler], [ParentEnder],
// [CancellingLister] and [CauseReader]. A method of a capability can decline a call, by
// an error matching errors.ErrUnsupported. It is then as if the store lacked the
// capability, for this call: the three methods do the work where they can. A Repository
// that wraps another should forward its capabilities, and decline where the other lacks
// them. What a capability answers is checked as what the three methods answer is: an
// answer that cannot be true is reported as an error, with [esserrors.CodeSystem].
//
// # Concurrency and cost
//
// A [Canceller] is safe for concurrent use, as its Repository has to be, and keeps
// nothing between calls. Only CancelAll starts goroutines, and they end with it. A
// cascade is iterative, reads and writes in pages, and needs memory in proportion to the
// parents in the tree, not to the requests.
//
// # A word on names
//
// This package is called cancel, and so is the function that context.WithCancel
// returns in most programs. Call that one stop, or keep to one long-lived
// [Canceller] made where nothing is shadowed.
package cancel
