// Package explore tests schedulers that are built on package cancel, or have a cancel of
// their own, by running the steps of a few actors in every order in which they can
// happen.
//
// A [World] is a small tree of requests and some actors: a cancel, the work of a request,
// a scheduler's own code, of which every statement is a step. [Run] explores it in a
// test, [Explore] anywhere. A [Violation] has an order in which something goes wrong,
// step by step; [Replay] runs that order again. Begin with example_scheduler_test.go.
//
// # A scheduler with a cancel of its own
//
// It makes its statements with [Env.Step] and says with [Env.Cancelled] when its cancel
// has succeeded. The example "Bugs" is such a scheduler with eight mistakes, each of
// which a world of two actors finds in milliseconds:
//
//	a start that overwrites             Cancel beside a start         1 terminal is final
//	a submission that looks first       Cancel beside a submission    3 no escape
//	an end that overwrites              Cancel beside the end         2 only rules' transitions
//	a cancelled job that is tried again Cancel beside a failure       2 only rules' transitions
//	a second cancel restarts the grace  two cancels, one a minute on  6 cancelling again changes nothing
//	a parent that does not wait         Cancel above work that runs   4 a parent ends last
//	only the first child is cancelled   Cancel above two children     4 a parent ends last
//	an ended child ends the cancel      Cancel above an ended child   3 no escape
//
// [World.Moves] declares transitions that are meant, [World.Recover] is the scheduler's own
// way to take up what was cut off, [World.Check] is for invariants of its own, and
// [World.All] collects everything that goes wrong.
package explore
