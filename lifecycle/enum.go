package lifecycle

import (
	"database/sql/driver"
	"fmt"
	"iter"
	"strings"
)

// A NameError reports a text that is not the name of a state, kind, trigger or
// source, or a value that has no name.
type NameError struct {
	Type string // "State", "Kind", "Trigger" or "Source"
	Text string // what was given
}

func (e *NameError) Error() string {
	return fmt.Sprintf("lifecycle: %q is not the name of a %s", e.Text, e.Type)
}

// The enumerations encode themselves alike; E is one of them. Index 0 of names
// belongs to the zero value, which is none of them, and is the empty text.

func enumString[E ~uint8](e E, names []string, typ string) string {
	if e == 0 || int(e) >= len(names) {
		return fmt.Sprintf("%s(%d)", typ, uint8(e))
	}
	return names[e]
}

func enumAppend[E ~uint8](b []byte, e E, names []string, typ string) ([]byte, error) {
	if int(e) >= len(names) {
		return b, &NameError{typ, enumString(e, names, typ)}
	}
	return append(b, names[e]...), nil
}

func enumParse[E ~uint8](text string, names []string, typ string) (E, error) {
	for i, name := range names {
		if name == text {
			return E(i), nil
		}
	}
	return 0, &NameError{typ, text}
}

func enumValue[E ~uint8](e E, names []string, typ string) (driver.Value, error) {
	if e == 0 {
		return nil, nil
	}
	if int(e) >= len(names) {
		return nil, &NameError{typ, enumString(e, names, typ)}
	}
	return names[e], nil
}

func enumScan[E ~uint8](src any, names []string, typ string) (E, error) {
	switch src := src.(type) {
	case nil:
		return 0, nil
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

// The sets print and encode as the names of their members.

func setString[E fmt.Stringer](members iter.Seq[E]) string {
	var b strings.Builder
	for e := range members {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		b.WriteString(e.String())
	}
	return b.String()
}

// setParse returns the bits of the members whose names text has, separated by
// commas and any spaces.
func setParse[E ~uint8](text string, names []string, typ string) (bits uint32, err error) {
	if text == "" {
		return 0, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		e, err := enumParse[E](name, names, typ)
		if err == nil && e == 0 {
			err = &NameError{typ, name}
		}
		if err != nil {
			return 0, err
		}
		bits |= 1 << e
	}
	return bits, nil
}
