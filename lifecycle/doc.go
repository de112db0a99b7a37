// Package lifecycle has the rules by which a scheduler's request changes state.
//
// The states, their numbers and names are those of Oracle Enterprise Scheduler
// (ESS). There is one list of rules ([Rules]). The table that [Next] reads, the
// state machine that [Configure] builds and the drawings of a [Diagram] are all made
// from it. Each rule says where it comes from:
//
//   - [SourceSpec]: the specification of the cancel operation;
//   - [SourceDocumented]: other public documentation of ESS;
//   - [SourceDecision]: this package, where nothing public says.
//
// # Using it in a scheduler
//
//  1. Give every request a [Kind] and a [State], and store both by name: they
//     encode themselves for JSON, text and database/sql.
//  2. Before each change of state ask [Advance], and write the new state only if
//     the stored one is still the state that you asked about.
//  3. Insert a child only if, in the same atomic step, [Admit] allows it for the
//     parent. A parent that is being cancelled, or is about to end, admits none.
//  4. Do not end a parent that has a live child. [Admitting] says in which order a
//     parent ends.
//
// The method Transition of package cancel does 2 and 4. Everything that has to do
// with a cancel is that package's business.
//
// A scheduler that has states or rules of its own tests them with package
// lifecycletest.
//
// # Concurrency
//
// All functions are pure and safe for concurrent use. A machine that [NewMachine]
// returns serves one request and is not to be shared.
package lifecycle
