// Package canceltest tests implementations of [cancel.Repository].
//
// # Where to begin
//
// There are three beginnings, and for each a complete file that can be copied:
//
//   - "I have a store": example_store_test.go. Give [Run] a [Harness]. When it passes,
//     let package simulate have calls fail and processes die, play random commands, and
//     work on the store with many goroutines at once.
//   - "I have a scheduler", with submissions and starts of its own and perhaps a cancel:
//     explore/example_scheduler_test.go. Package explore runs its steps beside a cancel
//     in every order in which they can happen.
//   - "I only want to test my own rules": example_rules_test.go. That needs no store.
//     Package lifecycletest compares states and rules with those of package lifecycle.
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
// [Run] has a subtest for every sentence of the documentation of Repository, and of each
// capability that the store has: what Get, Children and Apply return, pages and their
// order, compare-and-set on each field, times to the microsecond, who owns which slice,
// contexts that end, many goroutines at once. Then it uses the store as package
// cancel does, with and without its capabilities, and compares what comes out with
// package memrepo. [Check] is the same outside of a test. The name of a check begins with
// the method that it checks, and so does the name of the file that it is in. A failure
// has the name, the sentence that the check enforces, and what was found instead:
//
//	Apply/ComparesOutcome failed.
//	  contract: Apply leaves a request alone whose Outcome is not that of Old.
//	  found: there is request 2 (…): Apply(Old: request 2 (…), …) reported true, want false
//
// More is checked the more the Harness can do: a store's own submission runs beside a
// fence and the end of a parent, requests are deleted in mid-cancel, rows cannot be
// read. What is left out says so.
//
// # For tests of your own
//
// [Faulty] is a store in which what should fail fails. [TakeSnapshot] reads all
// requests; [CheckStep], [CheckCancelled] and [CheckQuiet] check what always has to
// hold of them. [Plain] and [ByLevel] hide capabilities.
package canceltest
