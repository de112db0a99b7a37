package errors_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	esserrors "example.com/ess/errors"
)

// FuzzProblemJSON sends documents of any content through JSON and back.
func FuzzProblemJSON(f *testing.F) {
	for _, tt := range made {
		p := esserrors.ProblemOf(tt.err, nil)
		f.Add(p.Type, p.Title, p.Detail, p.Status, p.ErrorCode)
	}
	f.Add("", "", "", 0, "")
	f.Add("a\"b\\", "<script>&", "\u2028\x00", -1, "\xff")

	f.Fuzz(func(t *testing.T, typ, title, detail string, status int, code string) {
		p := esserrors.Problem{Type: typ, Title: title, Detail: detail, Status: status, ErrorCode: code}
		once := roundTrip(t, p)
		valid := true
		for _, s := range []string{typ, title, detail, code} {
			valid = valid && utf8.ValidString(s)
		}
		if valid && once != p {
			t.Errorf("%+v came back as %+v", p, once)
		}
		// JSON replaces what is not UTF-8, and then has nothing left to replace.
		if twice := roundTrip(t, once); twice != once {
			t.Errorf("%+v came back as %+v", once, twice)
		}
	})
}

func roundTrip(t *testing.T, p esserrors.Problem) (back esserrors.Problem) {
	t.Helper()
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		t.Fatal(err)
	}
	for name := range fields {
		switch name {
		case "type", "title", "detail", "status", "errorCode":
		default:
			t.Errorf("%s has a field %q", b, name)
		}
	}
	for _, required := range []string{"type", "title"} {
		if _, ok := fields[required]; !ok {
			t.Errorf("%s lacks %q", b, required)
		}
	}
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	return back
}
