// Package lifecycle has the rules by which a scheduler's request changes state.
//
// The states, their numbers and names are those of Oracle Enterprise Scheduler
// (ESS). There is one list of rules ([Rules]); the table that [Next] reads, the
// state machine that [Configure] builds and the diagrams that [Mermaid] and
// [DOT] draw are all made from it. Each rule says where it comes from:
//
//   - [SourceSpec]: the specification of the cancel operation;
//   - [SourceDocumented]: other public documentation of ESS;
//   - [SourceDecision]: this package, where nothing public says.
//
// # Using it in a scheduler
//
//  1. Give every request a [Kind] and a [State], and store both by name: they
//     encode themselves for JSON, text and database/sql.
//  2. Before each change of state ask [Transition] (or [Next], which does not
//     allocate), and write the new state only if the stored one is still the
//     state that you asked about.
//  3. Insert a child only if, in the same atomic step, [AdmitsChildren] holds for
//     its parent. This is what keeps children from slipping in under a parent
//     that is being cancelled.
//  4. Do not end a parent while it has a live child.
//
// Package cancel does the cancelling.
//
// # Concurrency
//
// All functions are pure and safe for concurrent use. A machine that
// [NewMachine] returns serves one request and is not to be shared.
package lifecycle
