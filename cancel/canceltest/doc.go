// Package canceltest tests implementations of [cancel.Repository], and schedulers
// that are built on package cancel.
//
// # A store
//
// Whoever implements [cancel.Repository] gives a [Harness], which makes repositories
// with given requests in them:
//
//	func TestStore(t *testing.T) {
//		canceltest.Run(t, canceltest.Harness{
//			New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
//				store := newStore(t)
//				return store, store.insert(ctx, requests)
//			},
//		})
//	}
//
// [Run] has a subtest for every sentence of the documentation of Repository, and
// of the capabilities [cancel.ChildCanceller], [cancel.CancellingLister] and
// [cancel.CauseReader] that the store has: what Get, Children and Apply return, pages
// and their order, compare-and-set on each field, times to the microsecond, who
// owns which slice, contexts that end, many goroutines at once. Then it uses the
// store as package cancel does, with and without its capabilities, and compares what
// comes out with package memrepo. [Check] is the same outside of a test. A failure
// names the check, the sentence that it enforces, and what was found instead:
//
//	Apply/ComparesOutcome failed.
//	  contract: Apply leaves a request alone whose Outcome is not that of Old.
//	  found: there is request 2 (…): Apply(Old: request 2 (…), …) reported true, want false
//
// [RunFaults] has calls of the store fail, before or after their effect, and
// [RunCrashes] lets the process die at every one of them. [RunRandom] compares what
// random commands do with a naive model of the rules, and [RunStorm] checks every
// write of many goroutines that work at once. They test package cancel more than the
// store, but over the store; what they find is told as a script for [PlayScript].
//
// # A scheduler
//
// [Explore] and [RunWorld] run the steps of a few actors, among them a scheduler's own,
// in every order in which they can happen, and tell the story of one in which
// something goes wrong; [Replay] tells it again. [Faulty] is a store in which what
// should fail fails. [TakeSnapshot], [CheckStep], [CheckCancelled] and [CheckQuiet]
// check what always has to hold.
package canceltest
