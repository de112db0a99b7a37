// Package cancel cancels the requests of a scheduler, with everything below them,
// safely and to the end.
//
// The requests stay where they are: the caller implements [Repository], three
// methods over the store it has, and gives it to [New].
//
//	canceller := cancel.New(repo, nil)
//	result, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"})
//
// # What the scheduler has to do
//
//  1. Change the state of a request only if the stored one is still the one that
//     the decision was based on, and by the rules of package lifecycle.
//  2. Insert a child only if, in the same atomic step, its parent admits one:
//     [lifecycle.AdmitsChildren]. This keeps children from slipping in during a
//     cascade.
//  3. Not end a parent that has a live child. What is terminal is taken to be
//     finished with all that is below it.
//  4. Tell running work of its cancel: by an [Interrupter], such as [Workers], or
//     by having the work call [Canceller.CheckIn].
//  5. Let the work have the last word: [Canceller.Acknowledge] when it has stopped,
//     or finished all the same. Until then its request is CANCELLING and still
//     occupies what it occupied. [Canceller.Force] is for work that is gone.
//  6. Call [Canceller.Resume] at every start, and from time to time.
//
// # What it can rely on
//
//   - Terminal is final, and every change follows a rule of package lifecycle.
//   - Nothing below a cancelled request escapes: when Cancel has returned without an
//     error, all of it has ended or is CANCELLING, and no child slips in.
//   - A parent ends after its last child.
//   - Every request that is CANCELLING has a way out: its work answers, its last
//     child ends, or somebody forces it.
//   - A second cancel, or a hundred at once, does no harm: while the request is
//     CANCELLING it succeeds and changes nothing that is done.
//   - An operation may be cut off after any call of the store: Resume brings the
//     tree to where it would have come.
//   - A [Receipt] says what the store did. A failure, a lost race or a bound that
//     was reached never reads as success, and stops no sibling.
//   - Work that runs is never CANCELLED without its acknowledgement or force.
//   - The outcome depends neither on the size of pages nor on the order of ids.
//   - The [Authorizer] comes before any write.
//
// # Concurrency and cost
//
// A [Canceller] is safe for concurrent use, as its Repository has to be, and keeps
// nothing between calls. Only CancelAll starts goroutines, which end with it. A cascade is iterative, reads and
// writes in pages and needs memory in proportion to the containers in the tree,
// not to the requests.
//
// # A word on names
//
// This package is called cancel, and so is the function that context.WithCancel
// returns in most programs. Call that one stop, or keep to one long-lived
// [Canceller] made where nothing is shadowed.
package cancel
