package lifecycle

import (
	"reflect"

	"github.com/qmuntal/stateless"
)

// Package stateless does not tell what a machine has been given before. Here is all
// that this package has to know of it, read from its unexported fields. Where a
// version of stateless has other fields, the answer is that there is nothing: then a
// mistake of the caller's is not found, and that is all.

// transitions returns how many transitions, with guards or without, a state has for
// a trigger.
func transitions(state *stateless.StateConfiguration, t Trigger) int {
	representation := field(reflect.ValueOf(state), "sr")
	byTrigger := field(representation, "TriggerBehaviours")
	if byTrigger.Kind() != reflect.Map || byTrigger.Type().Key() != reflect.TypeFor[stateless.Trigger]() {
		return 0
	}
	list := byTrigger.MapIndex(reflect.ValueOf(t))
	if list.Kind() != reflect.Slice {
		return 0
	}
	return list.Len()
}

// handlesUnhandled reports whether the caller has given sm a handler for triggers
// that it does not permit.
func handlesUnhandled(sm *stateless.StateMachine) bool {
	handler := field(reflect.ValueOf(sm), "unhandledTriggerAction")
	return handler.Kind() == reflect.Func && handler.Pointer() != reflect.ValueOf(stateless.DefaultUnhandledTriggerAction).Pointer()
}

// field returns a field of the struct that p points to, or no value.
func field(p reflect.Value, name string) reflect.Value {
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
		return reflect.Value{}
	}
	return p.Elem().FieldByName(name)
}
