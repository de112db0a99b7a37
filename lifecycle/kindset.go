package lifecycle

import "iter"

// A KindSet is a set of kinds. It prints and encodes as the names of its kinds,
// such as "PARENT, SUBREQUEST_PARENT", and the empty set as the empty text.
type KindSet uint8

const (
	leaves KindSet = 1<<KindSingleton | 1<<KindChild

	kindsWithChildren KindSet = 1<<KindParent | 1<<KindSubrequestParent
	kindsWithWork     KindSet = leaves | 1<<KindSubrequestParent
	allKinds          KindSet = leaves | kindsWithChildren
)

// Has reports whether k is in the set. It is false if k is not valid.
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

// String returns the names of the kinds in the set, separated by a comma and a
// space. Bits that stand for no kind are left out.
func (set KindSet) String() string { return setString(set.All()) }

// MarshalText implements [encoding.TextMarshaler] with the text that String
// returns. The error is always nil.
func (set KindSet) MarshalText() ([]byte, error) { return []byte(set.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes names of kinds,
// separated by commas, in any order, and the empty text for the empty set. A text
// that is not a name is a [*NameError] and leaves the set as it is.
func (set *KindSet) UnmarshalText(text []byte) error {
	bits, err := setParse[Kind](string(text), kindNames[:], "Kind")
	if err == nil {
		*set = KindSet(bits)
	}
	return err
}
