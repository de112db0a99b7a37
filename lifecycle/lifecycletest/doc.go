// Package lifecycletest tests a scheduler that has states, and perhaps rules, of its
// own against those of package lifecycle. It needs neither a store nor package cancel.
//
// # Where to begin
//
// Write down which state of package lifecycle each state of the scheduler stands
// for, and which ones it does not have, as a [Mapping]. Give it the scheduler's own
// decision as Next, if it does not ask package lifecycle. Then have a test check it:
//
//	func TestRules(t *testing.T) { lifecycletest.Assert(t, mapping) }
//
// The example of this package, in the file example_test.go, is a complete file that
// does this for a scheduler with six states.
//
// A test that fails names every rule that the scheduler has lost, added or changed.
// What differs on purpose is declared in [Mapping.Own], so that the next difference,
// which is a mistake, is not hidden among them.
package lifecycletest
