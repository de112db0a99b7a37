// Package canceltest tests implementations of [cancel.Repository].
//
// # Where to begin
//
// There are three beginnings, and for each a complete file in the examples:
//
//   - You have a store: give [Run] a [Harness] ("Store"). When it passes, let
//     package simulate have calls fail and processes die, play random commands, and
//     work on the store with many goroutines at once.
//   - You have a scheduler, with submissions and starts and perhaps a cancel of its own:
//     package explore runs its steps beside a cancel in every order in which they can
//     happen.
//   - You have states and rules of your own and want to know whether they agree with
//     those of package lifecycle: that needs no store. Use package lifecycletest.
//
// # The checks
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
// # For tests of your own
//
// [Faulty] is a store in which what should fail fails. [TakeSnapshot] reads all
// requests; [CheckStep], [CheckCancelled] and [CheckQuiet] check what always has to
// hold of them.
package canceltest
