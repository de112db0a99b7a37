package lifecycle

import esserrors "example.com/ess/errors"

// Executes reports whether work of its own may execute for a request of kind k in
// state s: k runs work and s is one of [Executing]. A cancel of such a request waits
// until the work has acknowledged.
func Executes(k Kind, s State) bool { return k.RunsWork() && Executing.Has(s) }

// Advance returns the state that t takes a request of kind k in state s to, if t is
// an ordinary transition: one that a scheduler makes by itself. It is [Transition]
// without what belongs to a cancel: it refuses [TriggerCancel], and every trigger in
// CANCELLING, which package cancel alone leaves (decision). The error has
// [esserrors.CodeUnsupportedState].
//
// Advance does not know the request's children. A scheduler must not end a parent
// that has a live child; see [Admitting] for how it makes sure. The method
// Transition of package cancel does so.
func Advance(k Kind, s State, t Trigger) (State, error) {
	if t == TriggerCancel || s == StateCancelling {
		return 0, unsupported(k, s, t)
	}
	return Transition(k, s, t)
}

// AdmitsChildren reports whether a request of kind k in state s admits a new child:
// k has children and s is one of [Admitting].
//
// A scheduler inserts a child only if, in the same atomic step, the child's parent
// admits one.
func AdmitsChildren(k Kind, s State) bool { return k.HasChildren() && Admitting.Has(s) }

// Admit returns nil if the parent admits a new child, as [AdmitsChildren] says.
// Otherwise it returns the error for whoever submits the child; it has
// [esserrors.CodeUnsupportedState].
//
// The parent has to be as it is stored, read in the same atomic step that inserts
// the child: under a lock, in one transaction that locks the parent's row, or by a
// compare-and-set of the parent.
func Admit(parent Request) error {
	if AdmitsChildren(parent.Kind, parent.State) {
		return nil
	}
	return esserrors.UnsupportedState("submit", int64(parent.ID), parent.Kind.String(), parent.State.String())
}
