package lifecycle

import (
	"database/sql/driver"
	"iter"
	"strings"
)

// A Kind says whether a request runs work of its own and whether it can have
// children. That is all that cancelling depends on; ESS's request types map onto
// it (a step of a job set is a Child, a job set or recurring schedule is a Parent).
// A request of any kind may have a parent, to any depth.
//
// The zero Kind is invalid.
type Kind uint8

const (
	_ Kind = iota // an unset field must not look like a kind

	// KindSingleton is the kind of a request without a parent that runs work of
	// its own and has no children.
	KindSingleton

	// KindChild is the kind of a request under a parent that runs work of its
	// own and has no children.
	KindChild

	// KindParent is the kind of a container: it groups children and runs nothing
	// itself, as a job set or a recurring schedule does.
	KindParent

	// KindSubrequestParent is the kind of a request that runs work of its own
	// and has children.
	KindSubrequestParent

	numKinds
)

var kindNames = [numKinds]string{
	KindSingleton:        "SINGLETON",
	KindChild:            "CHILD",
	KindParent:           "PARENT",
	KindSubrequestParent: "SUBREQUEST_PARENT",
}

// Kinds returns all kinds in the order of their declaration.
func Kinds() iter.Seq[Kind] { return enumAll[Kind](kindNames[:]) }

// Valid reports whether k is one of the declared kinds.
func (k Kind) Valid() bool { return k > 0 && k < numKinds }

// String returns the name of k, such as "PARENT", or "Kind(n)" if k is not valid.
func (k Kind) String() string { return enumString(k, kindNames[:], "Kind") }

// AppendText implements [encoding.TextAppender]. It fails if k is not valid.
func (k Kind) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, k, kindNames[:], "Kind")
}

// MarshalText implements [encoding.TextMarshaler]. It fails if k is not valid.
func (k Kind) MarshalText() ([]byte, error) { return k.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the
// names that String returns; any other text gives a [*NameError] and leaves k as
// it is.
func (k *Kind) UnmarshalText(text []byte) error {
	v, err := enumParse[Kind](string(text), kindNames[:], "Kind")
	if err == nil {
		*k = v
	}
	return err
}

// Value implements [driver.Valuer] with the name of k. It fails if k is not
// valid.
func (k Kind) Value() (driver.Value, error) {
	b, err := k.AppendText(nil)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

// Scan implements [database/sql.Scanner]. It takes a name as a string or bytes.
// Anything else, NULL included, is an error and leaves k as it is.
func (k *Kind) Scan(src any) error {
	v, err := enumScan[Kind](src, kindNames[:], "Kind")
	if err == nil {
		*k = v
	}
	return err
}

// RunsWork reports whether requests of kind k run work of their own, which has to
// be told of a cancel and has to acknowledge it.
func (k Kind) RunsWork() bool { return kindsWithWork.Has(k) }

// HasChildren reports whether requests of kind k can have children.
func (k Kind) HasChildren() bool { return kindsWithChildren.Has(k) }

// A KindSet is a set of kinds.
type KindSet uint8

const (
	leaves KindSet = 1<<KindSingleton | 1<<KindChild

	kindsWithChildren KindSet = 1<<KindParent | 1<<KindSubrequestParent
	kindsWithWork     KindSet = leaves | 1<<KindSubrequestParent
	allKinds          KindSet = leaves | kindsWithChildren
)

// Has reports whether k is in the set.
func (set KindSet) Has(k Kind) bool { return k.Valid() && set>>k&1 == 1 }

// All returns the kinds in the set in the order of their declaration.
func (set KindSet) All() iter.Seq[Kind] {
	return func(yield func(Kind) bool) {
		for k := range Kinds() {
			if set.Has(k) && !yield(k) {
				return
			}
		}
	}
}

// String returns the names of the kinds in the set, separated by commas.
func (set KindSet) String() string {
	var names []string
	for k := range set.All() {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}
