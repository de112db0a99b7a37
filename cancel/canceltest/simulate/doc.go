// Package simulate lets things go wrong on a [cancel.Repository], and many things happen
// at once, and looks what package cancel makes of it.
//
// [RunFaults] has calls of the store fail, before or after their effect, and
// [RunCrashes] lets the process die at every one of them. [RunRandom] compares what
// random commands do with a naive model of the rules, and [RunStorm] checks every
// write of many goroutines that work at once. They test package cancel more than the
// store, but over the store. What they find is a [ScriptError], with a script for
// [PlayScript].
//
// By default all four together take less than ten minutes on a store where a call takes
// a millisecond, and a few seconds in memory. They log how much that is of all that
// could be done, and their options have them do all.
package simulate
