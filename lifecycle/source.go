package lifecycle

// A Source says where a rule comes from. It encodes as the text that String
// returns. The zero Source is none and encodes as the empty text.
type Source uint8

const (
	_ Source = iota // a rule has to say

	// SourceSpec is the specification of the cancel operation.
	SourceSpec
	// SourceDocumented is other public documentation of ESS.
	SourceDocumented
	// SourceDecision is a decision of this package, where nothing public says.
	SourceDecision

	numSources
)

var sourceNames = [numSources]string{
	SourceSpec:       "spec",
	SourceDocumented: "documented",
	SourceDecision:   "decision",
}

// String returns "spec", "documented" or "decision", or "Source(n)" for any other
// value.
func (s Source) String() string { return enumString(s, sourceNames[:], "Source") }

// AppendText implements [encoding.TextAppender]. It appends nothing for the zero
// Source, and returns a [*NameError] if s is not declared.
func (s Source) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, s, sourceNames[:], "Source")
}

// MarshalText implements [encoding.TextMarshaler] with what AppendText appends.
func (s Source) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the texts
// of the declared sources, and the empty text for the zero Source. Any other text
// is a [*NameError] and leaves s as it is.
func (s *Source) UnmarshalText(text []byte) error {
	parsed, err := enumParse[Source](string(text), sourceNames[:], "Source")
	if err == nil {
		*s = parsed
	}
	return err
}
