package lifecycle_test

import (
	"bytes"
	"database/sql"
	"database/sql/driver"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/ess/lifecycle"
)

// The states with ESS's numbers and names, by hand.
var ess = []struct {
	number int
	state  lifecycle.State
	name   string
}{
	{1, lifecycle.StateWait, "WAIT"},
	{2, lifecycle.StateReady, "READY"},
	{3, lifecycle.StateRunning, "RUNNING"},
	{4, lifecycle.StateCompleted, "COMPLETED"},
	{5, lifecycle.StateBlocked, "BLOCKED"},
	{6, lifecycle.StateHold, "HOLD"},
	{7, lifecycle.StateCancelling, "CANCELLING"},
	{8, lifecycle.StateExpired, "EXPIRED"},
	{9, lifecycle.StateCancelled, "CANCELLED"},
	{10, lifecycle.StateError, "ERROR"},
	{11, lifecycle.StateWarning, "WARNING"},
	{12, lifecycle.StateSucceeded, "SUCCEEDED"},
	{13, lifecycle.StatePaused, "PAUSED"},
	{14, lifecycle.StatePendingValidation, "PENDING_VALIDATION"},
	{15, lifecycle.StateValidationFailed, "VALIDATION_FAILED"},
	{16, lifecycle.StateScheduleEnded, "SCHEDULE_ENDED"},
	{17, lifecycle.StateFinished, "FINISHED"},
	{18, lifecycle.StateErrorAutoRetry, "ERROR_AUTO_RETRY"},
	{19, lifecycle.StateErrorManualRecovery, "ERROR_MANUAL_RECOVERY"},
}

func TestStatesAreESSs(t *testing.T) {
	t.Parallel()

	if got := slices.Collect(lifecycle.States()); len(got) != len(ess) {
		t.Errorf("States() = %v, want the %d of ESS", got, len(ess))
	}
	for _, want := range ess {
		if int(want.state) != want.number {
			t.Errorf("%v has the number %d, want %d", want.state, want.state, want.number)
		}
		if got := want.state.String(); got != want.name {
			t.Errorf("state %d is named %q, want %q", want.number, got, want.name)
		}
	}
}

func essNames() []string {
	var names []string
	for _, s := range ess {
		names = append(names, s.name)
	}
	return names
}

func TestStateEncodings(t *testing.T) {
	t.Parallel()
	testEnum(t, "State", lifecycle.States, essNames())
}

func TestKindEncodings(t *testing.T) {
	t.Parallel()
	testEnum(t, "Kind", lifecycle.Kinds, []string{"SINGLETON", "CHILD", "PARENT", "SUBREQUEST_PARENT"})
}

func TestTriggerEncodings(t *testing.T) {
	t.Parallel()
	testEnum(t, "Trigger", lifecycle.Triggers, []string{
		"validate", "invalidate", "dispatch", "block", "hold", "release", "start", "pause", "resume", "complete",
		"succeed", "warn", "fail", "fail_retryable", "fail_recoverable", "retry", "recover", "expire",
		"end_schedule", "finish", "cancel", "acknowledge", "settle", "force",
	})
}

// enum is what the three enumerations have in common as values. What prints
// must be a method of the value: with one of the pointer, a struct that is
// passed by value would show the number.
type enum interface {
	~uint8
	Valid() bool
	fmt.Stringer
	encoding.TextAppender
	encoding.TextMarshaler
	driver.Valuer
}

// enumPointer is what they have in common as pointers.
type enumPointer[E any] interface {
	*E
	encoding.TextUnmarshaler
	sql.Scanner
}

// testEnum checks every encoding of an enumeration whose values 1, 2, … have
// these names, and of every byte that is none of its values.
func testEnum[E enum, P enumPointer[E]](t *testing.T, typ string, all func() iter.Seq[E], names []string) {
	t.Helper()

	var want []E
	for i := range names {
		want = append(want, E(i+1))
	}
	if got := slices.Collect(all()); !slices.Equal(got, want) {
		t.Errorf("all values of %s = %v, want %v", typ, got, want)
	}
	seen := 0
	for range all() {
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 {
		t.Errorf("a loop over %s that breaks in the second round had %d", typ, seen)
	}

	for n := range 256 {
		switch e := E(n); {
		case n == 0:
			testZeroValue[E, P](t, typ)
		case n > len(names):
			testInvalidValue[E, P](t, typ, e)
		default:
			testValidValue[E, P](t, e, names[n-1])
		}
	}

	bad := []string{" ", "0", "1", "255", "-1", typ, typ + "(1)", "UNKNOWN", "null", "\x00"}
	for i, name := range names {
		for _, s := range []string{
			strings.ToLower(name), strings.ToUpper(name), name[:1] + strings.ToLower(name[1:]),
			name[:len(name)-1], name + "S", " " + name, name + "\n", `"` + name + `"`,
			strings.ReplaceAll(name, "_", " "), strings.ReplaceAll(name, "_", "-"),
			fmt.Sprint(i + 1),
		} {
			if !slices.Contains(names, s) {
				bad = append(bad, s)
			}
		}
	}
	for _, text := range bad {
		testBadText[E, P](t, typ, text)
	}

	// JSON knows more than texts, and databases know more than names.
	for _, doc := range []string{"1", "0", "1.5", "true", "[]", "{}", `["` + names[0] + `"]`} {
		e := E(2)
		if err := json.Unmarshal([]byte(doc), P(&e)); err == nil || e != 2 {
			t.Errorf("json.Unmarshal(%s) into %s: value %v, error %v, want an error and the value left alone", doc, typ, e, err)
		}
	}
	for _, src := range []any{int64(1), 1, 1.0, true, time.Time{}, E(1), struct{}{}, &names[0]} {
		e := E(2)
		if err := P(&e).Scan(src); err == nil || e != 2 {
			t.Errorf("Scan(%T) into %s: value %v, error %v, want an error and the value left alone", src, typ, e, err)
		}
	}
	// encoding/json does not ask a type about null: the field stays unset.
	var unset E
	if err := json.Unmarshal([]byte("null"), P(&unset)); err != nil || unset.Valid() {
		t.Errorf("json.Unmarshal(null) into %s: value %v, error %v, want the zero value", typ, unset, err)
	}
}

func testValidValue[E enum, P enumPointer[E]](t *testing.T, e E, name string) {
	t.Helper()

	if !e.Valid() {
		t.Errorf("%d.Valid() = false", e)
	}
	if got := e.String(); got != name {
		t.Errorf("%d.String() = %q, want %q", e, got, name)
	}
	if got, err := e.MarshalText(); string(got) != name || err != nil {
		t.Errorf("%v.MarshalText() = %q, %v, want %q", e, got, err, name)
	}
	if got, err := e.AppendText([]byte("x=")); string(got) != "x="+name || err != nil {
		t.Errorf("%v.AppendText(x=) = %q, %v, want %q", e, got, err, "x="+name)
	}
	var parsed E
	if err := P(&parsed).UnmarshalText([]byte(name)); parsed != e || err != nil {
		t.Errorf("UnmarshalText(%q) gave %v, %v", name, parsed, err)
	}

	type doc struct {
		V E
		P *E
		L []E
		M map[E]E
	}
	in := doc{e, &e, []E{e}, map[E]E{e: e}}
	text, err := json.Marshal(in)
	want := fmt.Sprintf(`{"V":%[1]q,"P":%[1]q,"L":[%[1]q],"M":{%[1]q:%[1]q}}`, name)
	if string(text) != want || err != nil {
		t.Errorf("json.Marshal = %s, %v, want %s", text, err, want)
	}
	var out doc
	if err := json.Unmarshal(text, &out); err != nil {
		t.Errorf("json.Unmarshal(%s): %v", text, err)
	} else if out.V != e || *out.P != e || !slices.Equal(out.L, in.L) || len(out.M) != 1 || out.M[e] != e {
		t.Errorf("json.Unmarshal(%s) = %+v", text, out)
	}

	if got, want := logged(t, e), name; got != want {
		t.Errorf("slog wrote %v as %q, want %q", e, got, want)
	}

	// The way database/sql itself takes: an argument, and a scan into a column
	// that may be NULL.
	stored, err := driver.DefaultParameterConverter.ConvertValue(e)
	if stored != name || err != nil {
		t.Errorf("database/sql stores %v as %#v, %v, want %q", e, stored, err, name)
	}
	for _, src := range []any{name, []byte(name)} {
		var scanned sql.Null[E]
		if err := scanned.Scan(src); err != nil || !scanned.Valid || scanned.V != e {
			t.Errorf("database/sql scans %T %q as %+v, %v", src, name, scanned, err)
		}
	}
}

func testInvalidValue[E enum, P enumPointer[E]](t *testing.T, typ string, e E) {
	t.Helper()

	name := fmt.Sprintf("%s(%d)", typ, uint8(e))
	if e.Valid() {
		t.Errorf("%s.Valid() = true", name)
	}
	if got := e.String(); got != name {
		t.Errorf("%s.String() = %q", name, got)
	}
	text, err := e.MarshalText()
	if len(text) != 0 {
		t.Errorf("%s.MarshalText() = %q", name, text)
	}
	wantNameError(t, name+".MarshalText()", err, typ, name)
	text, err = e.AppendText([]byte("x="))
	if string(text) != "x=" {
		t.Errorf("%s.AppendText(x=) = %q, want what was given", name, text)
	}
	wantNameError(t, name+".AppendText()", err, typ, name)
	stored, err := e.Value()
	if stored != nil {
		t.Errorf("%s.Value() = %v", name, stored)
	}
	wantNameError(t, name+".Value()", err, typ, name)
	_, err = json.Marshal(struct{ V E }{e})
	wantNameError(t, "json.Marshal of "+name, err, typ, name)
	if doc, err := json.Marshal(map[E]int{e: 1}); err == nil { // encoding/json does not wrap what a key said
		t.Errorf("json.Marshal of a map with key %s = %s, want an error", name, doc)
	}
	if got := logged(t, e); !strings.Contains(got, name) {
		t.Errorf("slog wrote %s as %q, want its number in it", name, got)
	}
	var back E
	if err := P(&back).UnmarshalText([]byte(name)); err == nil {
		t.Errorf("UnmarshalText(%q) gave %v, want an error", name, back)
	}
}

func testBadText[E enum, P enumPointer[E]](t *testing.T, typ, text string) {
	t.Helper()
	decoders := map[string]func(P) error{
		"UnmarshalText": func(p P) error { return p.UnmarshalText([]byte(text)) },
		"Scan(string)":  func(p P) error { return p.Scan(text) },
		"Scan([]byte)":  func(p P) error { return p.Scan([]byte(text)) },
		"json.Unmarshal": func(p P) error {
			doc, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			return json.Unmarshal(doc, p)
		},
	}
	for name, decode := range decoders {
		e := E(2)
		wantNameError(t, name+" of "+typ, decode(&e), typ, text)
		if e != 2 {
			t.Errorf("%s(%q) failed and yet changed its receiver to %v", name, text, e)
		}
	}
}

func wantNameError(t *testing.T, what string, err error, typ, text string) {
	t.Helper()
	e, ok := errors.AsType[*lifecycle.NameError](err)
	if !ok {
		t.Errorf("%s(%q): error %v, want a *NameError", what, text, err)
		return
	}
	if want := (lifecycle.NameError{Type: typ, Text: text}); *e != want {
		t.Errorf("%s: %+v, want %+v", what, *e, want)
	}
	if want := fmt.Sprintf("lifecycle: %q is not the name of a %s", text, typ); e.Error() != want {
		t.Errorf("%s: text %q, want %q", what, e.Error(), want)
	}
}

// logged returns what slog's JSON handler makes of v.
func logged(t *testing.T, v any) string {
	t.Helper()
	var buf bytes.Buffer
	slog.New(slog.NewJSONHandler(&buf, nil)).Info("", "v", v)
	var line struct{ V any }
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	s, ok := line.V.(string)
	if !ok {
		t.Errorf("slog wrote %v as %s, want a text", v, buf.Bytes())
	}
	return s
}
