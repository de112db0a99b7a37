package lifecycle

import (
	"database/sql/driver"
	"iter"
)

// A Kind says whether a request runs work of its own and whether it can have
// children. That is all that cancelling depends on. ESS's request types map onto
// kinds: a step of a job set is a KindChild, a job set or a recurring schedule is a
// KindParent. A request of any kind may have a parent, to any depth.
//
// A Kind encodes as its name. The zero Kind is none: it encodes as the empty text,
// or as NULL in a database, and no request that can be worked with has it. A store
// returns it for a row whose kind it cannot read.
type Kind uint8

const (
	_ Kind = iota // an unset field must not look like a kind

	// KindSingleton is the kind of a request that runs work of its own and has no
	// children. By convention it has no parent; the rules for it are those for
	// KindChild.
	KindSingleton

	// KindChild is the kind of a request that runs work of its own and has no
	// children. By convention it has a parent.
	KindChild

	// KindParent is the kind of a container: it groups children and runs nothing
	// itself, as a job set or a recurring schedule does.
	KindParent

	// KindSubrequestParent is the kind of a request that runs work of its own and
	// can have children, which its work submits while it runs.
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

// AppendText implements [encoding.TextAppender]. It appends nothing for the zero
// Kind, and returns a [*NameError] if k is neither valid nor zero.
func (k Kind) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, k, kindNames[:], "Kind")
}

// MarshalText implements [encoding.TextMarshaler] with what AppendText appends.
func (k Kind) MarshalText() ([]byte, error) { return k.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the names
// of the declared kinds, and the empty text for the zero Kind. Any other text is a
// [*NameError] and leaves k as it is.
func (k *Kind) UnmarshalText(text []byte) error {
	return k.Scan(text)
}

// Value implements [driver.Valuer] with the name of k, and with nil, which is
// NULL, for the zero Kind. It returns a [*NameError] if k is neither valid nor
// zero.
func (k Kind) Value() (driver.Value, error) { return enumValue(k, kindNames[:], "Kind") }

// Scan implements [database/sql.Scanner]. It takes what UnmarshalText takes, as a
// string or as bytes, and NULL for the zero Kind. Anything else is an error and
// leaves k as it is.
func (k *Kind) Scan(src any) error {
	scanned, err := enumScan[Kind](src, kindNames[:], "Kind")
	if err == nil {
		*k = scanned
	}
	return err
}

// RunsWork reports whether requests of kind k run work of their own. Work that is
// running has to be told of a cancel, and has to acknowledge it: to say that it has
// stopped.
func (k Kind) RunsWork() bool { return kindsWithWork.Has(k) }

// HasChildren reports whether requests of kind k can have children.
func (k Kind) HasChildren() bool { return kindsWithChildren.Has(k) }
