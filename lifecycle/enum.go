package lifecycle

import (
	"fmt"
	"iter"
)

// A NameError reports a text that is not the name of a state, kind or trigger.
type NameError struct {
	Type string // "State", "Kind" or "Trigger"
	Text string // what was given
}

func (e *NameError) Error() string {
	return fmt.Sprintf("lifecycle: %q is not the name of a %s", e.Text, e.Type)
}

// The three enumerations encode themselves alike; E is one of them. Index 0 of
// names belongs to the invalid zero value.

func enumString[E ~uint8](e E, names []string, typ string) string {
	if e == 0 || int(e) >= len(names) {
		return fmt.Sprintf("%s(%d)", typ, uint8(e))
	}
	return names[e]
}

func enumAppend[E ~uint8](b []byte, e E, names []string, typ string) ([]byte, error) {
	if e == 0 || int(e) >= len(names) {
		return b, &NameError{typ, enumString(e, names, typ)}
	}
	return append(b, names[e]...), nil
}

func enumParse[E ~uint8](text string, names []string, typ string) (E, error) {
	for i, name := range names[1:] {
		if name == text {
			return E(i + 1), nil
		}
	}
	return 0, &NameError{typ, text}
}

func enumScan[E ~uint8](src any, names []string, typ string) (E, error) {
	switch src := src.(type) {
	case string:
		return enumParse[E](src, names, typ)
	case []byte:
		return enumParse[E](string(src), names, typ)
	default:
		return 0, fmt.Errorf("lifecycle: cannot scan %T into a %s", src, typ)
	}
}

func enumAll[E ~uint8](names []string) iter.Seq[E] {
	return func(yield func(E) bool) {
		for i := 1; i < len(names); i++ {
			if !yield(E(i)) {
				return
			}
		}
	}
}
