package lifecycle_test

import (
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"testing"

	"example.com/ess/lifecycle"
)

// testZeroValue checks the value that is none of an enumeration's: it goes out as the
// empty text and as NULL, and comes back from both.
func testZeroValue[E enum, P enumPointer[E]](t *testing.T, typ string) {
	t.Helper()
	var zero E
	if zero.Valid() || zero.String() != typ+"(0)" {
		t.Errorf("the zero %s: valid %v, prints %q", typ, zero.Valid(), zero.String())
	}
	if text, err := zero.MarshalText(); len(text) != 0 || err != nil {
		t.Errorf("%s(0).MarshalText() = %q, %v, want no text", typ, text, err)
	}
	if text, err := zero.AppendText([]byte("x=")); string(text) != "x=" || err != nil {
		t.Errorf("%s(0).AppendText(x=) = %q, %v, want what was given", typ, text, err)
	}
	if got := logged(t, zero); got != "" {
		t.Errorf("slog wrote the zero %s as %q, want no text", typ, got)
	}
	stored, err := driver.DefaultParameterConverter.ConvertValue(zero)
	if stored != nil || err != nil {
		t.Errorf("database/sql stores the zero %s as %#v, %v, want NULL", typ, stored, err)
	}
	for _, src := range []any{nil, "", []byte{}, []byte(nil)} {
		e := E(2)
		if err := P(&e).Scan(src); err != nil || e != 0 {
			t.Errorf("Scan(%#v) into %s: value %v, error %v, want the zero value", src, typ, e, err)
		}
	}
	for _, text := range [][]byte{nil, {}} {
		e := E(2)
		if err := P(&e).UnmarshalText(text); err != nil || e != 0 {
			t.Errorf("UnmarshalText(%#v) of %s: value %v, error %v, want the zero value", text, typ, e, err)
		}
	}

	type doc struct {
		V E
		O E `json:",omitzero"`
		M map[E]E
	}
	text, err := json.Marshal(doc{M: map[E]E{0: 0}})
	if want := `{"V":"","M":{"":""}}`; string(text) != want || err != nil {
		t.Errorf("json.Marshal = %s, %v, want %s", text, err, want)
	}
	out := doc{V: 2, O: 2}
	err = json.Unmarshal([]byte(`{"V":"","O":"","M":{"":""}}`), &out)
	if v, ok := out.M[0]; err != nil || out.V != 0 || out.O != 0 || !ok || v != 0 {
		t.Errorf("json.Unmarshal of the zero %s = %+v, %v", typ, out, err)
	}
}

// TestSourceText checks what a Source has in common with the enumerations that are
// stored in databases.
func TestSourceText(t *testing.T) {
	t.Parallel()
	names := map[lifecycle.Source]string{
		lifecycle.SourceSpec:       "spec",
		lifecycle.SourceDocumented: "documented",
		lifecycle.SourceDecision:   "decision",
	}
	for n := range 256 {
		s := lifecycle.Source(n)
		want, declared := names[s]
		if !declared {
			want = fmt.Sprintf("Source(%d)", n)
		}
		if got := s.String(); got != want {
			t.Errorf("Source(%d).String() = %q, want %q", n, got, want)
		}
		text, err := s.MarshalText()
		if !declared && n != 0 {
			wantNameError(t, want+".MarshalText()", err, "Source", want)
			continue
		}
		if string(text) != names[s] || err != nil {
			t.Errorf("%s.MarshalText() = %q, %v, want %q", want, text, err, names[s])
		}
		doc, err := json.Marshal(s)
		back := lifecycle.Source(77)
		if err2 := json.Unmarshal(doc, &back); err != nil || err2 != nil || back != s {
			t.Errorf("%s is %s in JSON and comes back as %v: %v, %v", want, doc, back, err, err2)
		}
	}
	for _, text := range []string{"Spec", "spec ", "decisions", "1", "Source(1)", "\x00"} {
		s := lifecycle.SourceSpec
		wantNameError(t, "UnmarshalText", s.UnmarshalText([]byte(text)), "Source", text)
		if s != lifecycle.SourceSpec {
			t.Errorf("UnmarshalText(%q) failed and yet changed its receiver to %v", text, s)
		}
	}
}
