package errors_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	esserrors "example.com/ess/errors"
)

// entries has the default table by hand: the specification's five responses,
// the error codes that follow its one example, and RFC 9110's sections.
var entries = map[esserrors.Code]esserrors.Entry{
	esserrors.CodeUnsupportedState: {Status: 400, ErrorCode: "ESS-00400", Title: "Unsupported state for operation", Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.1"},
	esserrors.CodeNotAuthorized:    {Status: 403, ErrorCode: "ESS-00403", Title: "Not authorized for this request", Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.4"},
	esserrors.CodeNotFound:         {Status: 404, ErrorCode: "ESS-00404", Title: "Request ID not found", Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.5"},
	esserrors.CodeConflict:         {Status: 409, ErrorCode: "ESS-00409", Title: "Conflict", Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.10"},
	esserrors.CodeSystem:           {Status: 500, ErrorCode: "ESS-00500", Title: "Scheduling sub-system error", Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.6.1"},
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDefaultTable(t *testing.T) {
	t.Parallel()
	for c := range esserrors.Codes() {
		want, ok := entries[c]
		if !ok {
			t.Errorf("%v has no row in this test", c)
		}
		for _, table := range []esserrors.Table{nil, {}} {
			got := table.Entry(c)
			if got != want {
				t.Errorf("Entry(%v) = %+v, want %+v", c, got, want)
			}
			if u, err := url.Parse(got.Type); err != nil || !u.IsAbs() {
				t.Errorf("Entry(%v).Type = %q, want an absolute URI", c, got.Type)
			}
		}
	}
}

func TestTableEntry(t *testing.T) {
	t.Parallel()

	const c = esserrors.CodeConflict
	def := entries[c]
	own := esserrors.Entry{Status: 423, ErrorCode: "ESS-01234", Title: "Locked", Type: "urn:example:locked"}
	with := func(change func(e *esserrors.Entry)) esserrors.Entry {
		e := def
		change(&e)
		return e
	}
	tests := []struct {
		name  string
		entry esserrors.Entry
		want  esserrors.Entry
	}{
		{"nothing", esserrors.Entry{}, def},
		{"everything", own, own},
		{"status", esserrors.Entry{Status: 423}, with(func(e *esserrors.Entry) { e.Status = 423 })},
		{"error code", esserrors.Entry{ErrorCode: "ESS-01234"}, with(func(e *esserrors.Entry) { e.ErrorCode = "ESS-01234" })},
		{"title", esserrors.Entry{Title: "Locked"}, with(func(e *esserrors.Entry) { e.Title = "Locked" })},
		{"type", esserrors.Entry{Type: "urn:example:locked"}, with(func(e *esserrors.Entry) { e.Type = "urn:example:locked" })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			table := esserrors.Table{c: tt.entry}
			if got := table.Entry(c); got != tt.want {
				t.Errorf("Entry(%v) = %+v, want %+v", c, got, tt.want)
			}
			if got := esserrors.ProblemOf(c, table); got != (esserrors.Problem{Type: tt.want.Type, Title: tt.want.Title, Status: tt.want.Status, ErrorCode: tt.want.ErrorCode}) {
				t.Errorf("ProblemOf(%v) = %+v, want it to show %+v", c, got, tt.want)
			}
			for _, other := range allCodes {
				if other == c {
					continue
				}
				if got := table.Entry(other); got != entries[other] {
					t.Errorf("Entry(%v) = %+v, want the default %+v", other, got, entries[other])
				}
			}
			if want := (esserrors.Table{c: tt.entry}); !maps.Equal(table, want) {
				t.Errorf("table is now %v, was %v", table, want)
			}
			if got := esserrors.Table(nil).Entry(c); got != def {
				t.Errorf("default Entry(%v) is now %+v, was %+v", c, got, def)
			}
		})
	}
}

func TestTableEntryOfInvalidCode(t *testing.T) {
	t.Parallel()
	own := esserrors.Entry{Status: 503, ErrorCode: "ESS-05030", Title: "Down", Type: "urn:example:down"}
	for n := range 256 {
		c := esserrors.Code(n)
		if c.Valid() {
			continue
		}
		if got, want := esserrors.Table(nil).Entry(c), entries[esserrors.CodeSystem]; got != want {
			t.Errorf("Table(nil).Entry(%v) = %+v, want %+v", c, got, want)
		}
		// What a table says of a code that does not exist counts for nothing.
		table := esserrors.Table{esserrors.CodeSystem: own, c: {Status: 1, ErrorCode: "x", Title: "x", Type: "x"}}
		if got := table.Entry(c); got != own {
			t.Errorf("Entry(%v) = %+v, want %+v", c, got, own)
		}
	}
}

func TestProblemOf(t *testing.T) {
	t.Parallel()
	notFound := esserrors.Problem{
		Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.5", Title: "Request ID not found",
		Detail: "There is no request 7.", Status: 404, ErrorCode: "ESS-00404",
	}
	unknown := esserrors.Problem{
		Type: "https://www.rfc-editor.org/rfc/rfc9110#section-15.6.1", Title: "Scheduling sub-system error",
		Status: 500, ErrorCode: "ESS-00500",
	}
	bare := notFound
	bare.Detail = ""
	tests := []struct {
		name string
		err  error
		want esserrors.Problem
	}{
		{"nil", nil, esserrors.Problem{}},
		{"of this package", esserrors.NotFound("cancel", 7, errCause), notFound},
		{"wrapped", fmt.Errorf("nightly: %w", esserrors.NotFound("cancel", 7, nil)), notFound},
		{"joined", errors.Join(errCause, esserrors.NotFound("cancel", 7, nil)), notFound},
		{"code", esserrors.CodeNotFound, bare},
		{"foreign", errCause, unknown},
		{"typed nil", typedNil(), unknown},
		{"without a code", &esserrors.Error{Op: "cancel", Err: errCause}, unknown},
		{"stopped", esserrors.Stopped("cancel", 7, errStopped), unknown},
		{"detail of an Error without a code", &esserrors.Error{Op: "cancel", Detail: "Hidden."}, unknown},
		{"bare code beside the detail of another", errors.Join(&esserrors.Error{Detail: "Hidden."}, esserrors.CodeNotFound), bare},
		{"outer code with an inner detail", esserrors.System("cancel", 1, esserrors.NotFound("cancel", 7, nil)), esserrors.Problem{
			Type: unknown.Type, Title: unknown.Title, Detail: "The scheduling sub-system failed to cancel request 1.", Status: 500, ErrorCode: "ESS-00500",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := esserrors.ProblemOf(tt.err, nil); got != tt.want {
				t.Errorf("ProblemOf(%v) = %+v, want %+v", tt.err, got, tt.want)
			}
		})
	}
}

// The field names are the specification's; a client may depend on each.
func TestProblemJSON(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		problem esserrors.Problem
		want    string
	}{
		{
			"all five fields, in the order of the type",
			esserrors.Problem{Type: "about:blank", Title: "Conflict", Detail: "Busy.", Status: 409, ErrorCode: "ESS-00409"},
			`{"type":"about:blank","title":"Conflict","detail":"Busy.","status":409,"errorCode":"ESS-00409"}`,
		},
		{
			"required fields are there even if empty",
			esserrors.Problem{},
			`{"type":"","title":""}`,
		},
		{
			"optional fields are not",
			esserrors.Problem{Type: "about:blank", Title: "Conflict"},
			`{"type":"about:blank","title":"Conflict"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := marshal(t, tt.problem)
			if got != tt.want {
				t.Errorf("Marshal = %s\nwant      %s", got, tt.want)
			}
			var back esserrors.Problem
			if err := json.Unmarshal([]byte(got), &back); err != nil {
				t.Fatal(err)
			}
			if back != tt.problem {
				t.Errorf("Unmarshal(%s) = %+v, want %+v", got, back, tt.problem)
			}
		})
	}
}

func TestEveryProblemHasTheSpecificationsFields(t *testing.T) {
	t.Parallel()
	want := []string{"detail", "errorCode", "status", "title", "type"}
	for _, tt := range made {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := esserrors.ProblemOf(tt.err, nil)
			if p.Detail == "" { // two constructors have none of their own
				p.Detail = "Busy."
			}
			text := marshal(t, p)
			var fields map[string]any
			if err := json.Unmarshal([]byte(text), &fields); err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
				t.Errorf("fields of %s = %q, want %q", text, got, want)
			}
			var back esserrors.Problem
			if err := json.Unmarshal([]byte(text), &back); err != nil {
				t.Fatal(err)
			}
			if back != p {
				t.Errorf("Unmarshal(%s) = %+v, want %+v", text, back, p)
			}
		})
	}
}

// A cause may hold an address, an account or a password. However an error is
// wrapped, its document has none of that.
func TestProblemHidesCauses(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	wrappings := []struct {
		name string
		wrap func(err error) error
	}{
		{"as it is", func(err error) error { return err }},
		{"wrapped", func(err error) error { return fmt.Errorf("%s: %w", secret, err) }},
		{"wrapped twice", func(err error) error { return fmt.Errorf("%s: %w", secret, fmt.Errorf("%s: %w", secret, err)) }},
		{"joined before", func(err error) error { return errors.Join(errCause, err) }},
		{"joined after", func(err error) error { return errors.Join(err, errCause) }},
		{"cause of a system error", func(err error) error { return esserrors.System("cancel", 1, err) }},
		{"cause of an Error without a code", func(err error) error { return &esserrors.Error{Err: err} }},
	}
	errs := map[string]error{
		"foreign":         errCause,
		"foreign wrapped": fmt.Errorf("x: %w", errCause),
		"bare code":       errors.Join(esserrors.CodeConflict, errCause),
	}
	for _, tt := range made {
		errs[tt.name] = tt.err
	}
	tables := []esserrors.Table{nil, {esserrors.CodeSystem: {Title: "Down"}}}

	for name, err := range errs {
		for _, w := range wrappings {
			t.Run(name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				err := w.wrap(err)
				for _, table := range tables {
					if doc := marshal(t, esserrors.ProblemOf(err, table)); strings.Contains(doc, secret) {
						t.Errorf("document of %v is %s: it has the secret %q", err, doc, secret)
					}
				}
			})
		}
	}

	// The log text has it, or this test would pass for want of a secret.
	for _, tt := range made {
		if tt.want.Err != nil && !strings.Contains(tt.err.Error(), secret) {
			t.Errorf("%s: Error() = %q, want the cause in it", tt.name, tt.err.Error())
		}
	}
}
