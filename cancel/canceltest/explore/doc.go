// Package explore tests schedulers that are built on package cancel, or have a cancel of
// their own, by running the steps of a few actors in every order in which they can
// happen.
//
// A [World] is a small tree of requests and some actors: a cancel, the work of a request,
// a scheduler's own code, of which every statement is a step. [Run] explores it in a
// test, [Explore] anywhere. A [Violation] has an order in which something goes wrong,
// step by step; [Replay] runs that order again.
package explore
