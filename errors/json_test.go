package errors_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	esserrors "example.com/ess/errors"
)

func TestCodeJSON(t *testing.T) {
	t.Parallel()
	for n := range 256 {
		c := esserrors.Code(n)
		text, err := json.Marshal(c)
		if c != 0 && !c.Valid() {
			if err == nil {
				t.Errorf("Marshal(%v) = %s, want an error", c, text)
			}
			continue
		}
		want := ""
		if c != 0 {
			want = c.String()
		}
		if err != nil || string(text) != `"`+want+`"` {
			t.Errorf("Marshal(%v) = %s, %v, want %q", c, text, err, want)
		}
		back := esserrors.Code(99)
		if err := json.Unmarshal(text, &back); err != nil || back != c {
			t.Errorf("Unmarshal(%s) = %v, %v, want %v", text, back, err, c)
		}
		keys := map[esserrors.Code]int{c: 1}
		text, err = json.Marshal(keys)
		clear(keys)
		if err2 := json.Unmarshal(text, &keys); err != nil || err2 != nil || keys[c] != 1 {
			t.Errorf("as a key, %v became %s: %v, %v", c, text, err, err2)
		}
	}
	for _, text := range []string{"Conflict", "CONFLICT", "conflict ", "4", "Code(4)", "\x00"} {
		c := esserrors.CodeNotFound
		if err := c.UnmarshalText([]byte(text)); err == nil || c != esserrors.CodeNotFound {
			t.Errorf("UnmarshalText(%q) = %v, made it %v", text, err, c)
		}
	}
}

// The field names are stored: they do not change.
func TestErrorJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		err  esserrors.Error
		want string
	}{
		{"zero", esserrors.Error{}, `{}`},
		{
			"everything",
			esserrors.Error{
				Code: esserrors.CodeConflict, Op: "force", ID: 7, Kind: "CHILD", State: "CANCELLING",
				Wait: 29*time.Minute + 30*time.Second + 1, Detail: "Busy.", Err: errors.New("disk full"),
			},
			`{"code":"conflict","op":"force","id":7,"kind":"CHILD","state":"CANCELLING","wait":"29m30.000000001s","detail":"Busy.","cause":"disk full"}`,
		},
		{"stopped", esserrors.Error{Op: "cancel", ID: 7, Err: errors.New("context canceled")}, `{"op":"cancel","id":7,"cause":"context canceled"}`},
		{"a cause without a text", esserrors.Error{Code: esserrors.CodeSystem, Err: errors.New("")}, `{"code":"scheduling sub-system error","cause":""}`},
		{"a negative wait", esserrors.Error{Code: esserrors.CodeConflict, Wait: -1}, `{"code":"conflict","wait":"-1ns"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, v := range []any{tt.err, &tt.err, error(&tt.err), []error{&tt.err}} {
				if got := strings.Trim(marshal(t, v), "[]"); got != tt.want {
					t.Errorf("Marshal(%T) = %s\nwant %s", v, got, tt.want)
				}
			}
			sameAgain(t, &tt.err)
		})
	}
	for _, tt := range made {
		e, _ := errors.AsType[*esserrors.Error](tt.err)
		sameAgain(t, e)
	}
	for _, cause := range causes {
		sameAgain(t, &esserrors.Error{Code: esserrors.CodeSystem, Op: "cancel", ID: 1, Err: cause})
	}
}

// sameAgain sends e through JSON.
func sameAgain(t *testing.T, e *esserrors.Error) {
	t.Helper()
	text := marshal(t, e)
	back := &esserrors.Error{Code: esserrors.CodeNotFound, Op: "old", Wait: time.Hour, Err: errCause}
	if err := json.Unmarshal([]byte(text), back); err != nil {
		t.Fatalf("Unmarshal(%s): %v", text, err)
	}
	if back.Error() != e.Error() {
		t.Errorf("text after JSON = %q, want %q", back, e)
	}
	for _, c := range allCodes {
		if errors.Is(back, c) != errors.Is(e, c) {
			t.Errorf("errors.Is(%v, %v) after JSON = %v", e, c, errors.Is(back, c))
		}
	}
	if got, want := esserrors.CodeOf(back), esserrors.CodeOf(e); got != want {
		t.Errorf("CodeOf(%v) after JSON = %v, want %v", e, got, want)
	}
	gotWait, gotOK := esserrors.RetryAfter(back)
	if wait, ok := esserrors.RetryAfter(e); gotWait != wait || gotOK != ok {
		t.Errorf("RetryAfter(%v) after JSON = %v, %v, want %v, %v", e, gotWait, gotOK, wait, ok)
	}
	if got, want := esserrors.ProblemOf(back, nil), esserrors.ProblemOf(e, nil); got != want {
		t.Errorf("ProblemOf(%v) after JSON = %+v, want %+v", e, got, want)
	}
	if again := marshal(t, back); again != text {
		t.Errorf("once more through JSON: %s, want %s", again, text)
	}
	got, want := *back, *e
	got.Err, want.Err = nil, nil
	if got != want {
		t.Errorf("after JSON: %+v, want %+v", got, want)
	}
}

func TestErrorJSONRefused(t *testing.T) {
	t.Parallel()
	if text, err := json.Marshal(esserrors.Error{Code: 200}); err == nil {
		t.Errorf("Marshal of an undeclared code = %s, want an error", text)
	}
	for _, text := range []string{
		`"conflict"`, `[]`, `7`, `{"code":"nonsense"}`, `{"code":4}`, `{"id":"7"}`, `{"id":1.5}`, `{"wait":"soon"}`, `{"wait":30}`, `{"cause":{}}`, `{`,
	} {
		want := esserrors.Error{Code: esserrors.CodeNotFound, ID: 7}
		got := want
		if err := json.Unmarshal([]byte(text), &got); err == nil || got != want {
			t.Errorf("Unmarshal(%s) = %v, made it %+v", text, err, got)
		}
	}
	got := esserrors.Error{ID: 7}
	if err := json.Unmarshal([]byte(`null`), &got); err != nil || got.ID != 7 {
		t.Errorf("Unmarshal(null) = %v, made it %+v", err, got)
	}
	if err := json.Unmarshal([]byte(`{"op":"cancel","color":"red"}`), &got); err != nil || got != (esserrors.Error{Op: "cancel"}) {
		t.Errorf("Unmarshal of an unknown field = %v, made it %+v", err, got)
	}
	var e *esserrors.Error
	if text, err := json.Marshal(e); err != nil || !bytes.Equal(text, []byte("null")) {
		t.Errorf("Marshal(nil) = %s, %v, want null", text, err)
	}
}

func ExampleError_MarshalJSON() {
	e, _ := errors.AsType[*esserrors.Error](esserrors.TooEarly("force", 42, 12*time.Minute))
	text, err := json.Marshal(e)
	fmt.Println(string(text), err)

	var back esserrors.Error
	err = json.Unmarshal(text, &back)
	fmt.Println(&back, err)
	fmt.Println(esserrors.RetryAfter(&back))
	// Output:
	// {"code":"conflict","op":"force","id":42,"wait":"12m0s","detail":"Operation \"force\" on request 42 is possible in 12m0s."} <nil>
	// force request 42: conflict: Operation "force" on request 42 is possible in 12m0s <nil>
	// 12m0s true
}
