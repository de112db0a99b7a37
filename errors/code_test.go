package errors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	esserrors "example.com/ess/errors"
)

// The codes by hand, so that one lost or added without thought shows.
var allCodes = []esserrors.Code{
	esserrors.CodeUnsupportedState,
	esserrors.CodeNotAuthorized,
	esserrors.CodeNotFound,
	esserrors.CodeConflict,
	esserrors.CodeSystem,
}

func TestCodes(t *testing.T) {
	t.Parallel()

	if got := slices.Collect(esserrors.Codes()); !slices.Equal(got, allCodes) {
		t.Errorf("Codes() = %v, want %v", got, allCodes)
	}

	seen := 0
	for range esserrors.Codes() {
		seen++
		break
	}
	if seen != 1 {
		t.Errorf("Codes() left after the first yielded %d codes", seen)
	}
}

func TestCodeValidAndText(t *testing.T) {
	t.Parallel()

	texts := map[esserrors.Code]string{
		esserrors.CodeUnsupportedState: "unsupported state",
		esserrors.CodeNotAuthorized:    "not authorized",
		esserrors.CodeNotFound:         "request not found",
		esserrors.CodeConflict:         "conflict",
		esserrors.CodeSystem:           "scheduling sub-system error",
	}
	for n := range 256 {
		c := esserrors.Code(n)
		want, valid := texts[c]
		if !valid {
			want = fmt.Sprintf("Code(%d)", n)
		}
		if got := c.Valid(); got != valid {
			t.Errorf("Code(%d).Valid() = %v, want %v", n, got, valid)
		}
		if got := c.String(); got != want {
			t.Errorf("Code(%d).String() = %q, want %q", n, got, want)
		}
		// fmt prefers Error to String, so they must not differ.
		if got := c.Error(); got != want {
			t.Errorf("Code(%d).Error() = %q, want %q", n, got, want)
		}
		if got := fmt.Sprint(c); got != want {
			t.Errorf("Sprint(Code(%d)) = %q, want %q", n, got, want)
		}
	}
}

// An isError is somebody else's type that says which code it stands for.
type isError struct{ code esserrors.Code }

func (e isError) Error() string { return "foreign" }

func (e isError) Is(target error) bool { return target == e.code }

// An asError is somebody else's type that turns into one of ours.
type asError struct{ err *esserrors.Error }

func (e asError) Error() string { return "foreign" }

func (e asError) As(target any) bool {
	p, ok := target.(**esserrors.Error)
	if ok {
		*p = e.err
	}
	return ok
}

// typedNil is what a function that returns *Error instead of error makes.
func typedNil() error {
	var e *esserrors.Error
	return e
}

// The table of every shape in which an error can reach a caller.
var asked = []struct {
	name string
	err  error
	code esserrors.Code   // CodeOf
	is   []esserrors.Code // what errors.Is holds for
	wait time.Duration    // RetryAfter; 0 means that it does not know
	as   bool             // errors.AsType[*Error] finds one that is not nil
}{
	{name: "nil", err: nil},

	{name: "unsupported state", err: esserrors.UnsupportedState("cancel", 1, "PARENT", "ERROR"), code: esserrors.CodeUnsupportedState, is: []esserrors.Code{esserrors.CodeUnsupportedState}, as: true},
	{name: "unsupported outcome", err: esserrors.UnsupportedOutcome("acknowledge", 1, "WAIT"), code: esserrors.CodeUnsupportedState, is: []esserrors.Code{esserrors.CodeUnsupportedState}, as: true},
	{name: "not authorized", err: esserrors.NotAuthorized("cancel", 1, nil), code: esserrors.CodeNotAuthorized, is: []esserrors.Code{esserrors.CodeNotAuthorized}, as: true},
	{name: "not found", err: esserrors.NotFound("cancel", 1, nil), code: esserrors.CodeNotFound, is: []esserrors.Code{esserrors.CodeNotFound}, as: true},
	{name: "conflict", err: esserrors.Conflict("cancel", 1, "Busy.", nil), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, as: true},
	{name: "too early", err: esserrors.TooEarly("force", 1, time.Minute), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, wait: time.Minute, as: true},
	{name: "too early without a wait", err: esserrors.TooEarly("force", 1, 0), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, as: true},
	{name: "too early, negative wait", err: esserrors.TooEarly("force", 1, -time.Second), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, as: true},
	{name: "system", err: esserrors.System("cancel", 1, io.ErrUnexpectedEOF), code: esserrors.CodeSystem, is: []esserrors.Code{esserrors.CodeSystem}, as: true},

	{name: "bare code", err: esserrors.CodeNotFound, code: esserrors.CodeNotFound, is: []esserrors.Code{esserrors.CodeNotFound}},
	{name: "wrapped bare code", err: fmt.Errorf("reading: %w", esserrors.CodeConflict), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}},
	{name: "undeclared bare code", err: esserrors.Code(99), code: esserrors.CodeSystem},
	{name: "zero code", err: esserrors.Code(0), code: esserrors.CodeSystem},

	{name: "wrapped", err: fmt.Errorf("job 7: %w", esserrors.TooEarly("force", 1, time.Hour)), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, wait: time.Hour, as: true},
	{name: "wrapped twice", err: fmt.Errorf("a: %w", fmt.Errorf("b: %w", esserrors.NotFound("cancel", 1, nil))), code: esserrors.CodeNotFound, is: []esserrors.Code{esserrors.CodeNotFound}, as: true},
	{name: "not wrapped", err: fmt.Errorf("job 7: %v", esserrors.NotFound("cancel", 1, nil)), code: esserrors.CodeSystem},
	{name: "joined with a foreign error", err: errors.Join(io.EOF, esserrors.NotAuthorized("cancel", 1, nil)), code: esserrors.CodeNotAuthorized, is: []esserrors.Code{esserrors.CodeNotAuthorized}, as: true},
	{name: "joined, the first decides", err: errors.Join(esserrors.NotFound("cancel", 1, nil), esserrors.TooEarly("force", 2, time.Hour)), code: esserrors.CodeNotFound, is: []esserrors.Code{esserrors.CodeNotFound, esserrors.CodeConflict}, as: true},
	{name: "two verbs, the first decides", err: fmt.Errorf("%w, %w", esserrors.TooEarly("force", 2, time.Hour), esserrors.NotFound("cancel", 1, nil)), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeNotFound, esserrors.CodeConflict}, wait: time.Hour, as: true},
	{name: "joined bare code gives way to an Error", err: errors.Join(esserrors.CodeNotFound, esserrors.Conflict("cancel", 1, "", nil)), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeNotFound, esserrors.CodeConflict}, as: true},
	{name: "the outer code hides the inner", err: esserrors.System("cancel", 1, esserrors.TooEarly("force", 2, time.Hour)), code: esserrors.CodeSystem, is: []esserrors.Code{esserrors.CodeSystem}, as: true},
	{name: "the outer code hides a bare one", err: esserrors.NotAuthorized("cancel", 1, esserrors.CodeNotFound), code: esserrors.CodeNotAuthorized, is: []esserrors.Code{esserrors.CodeNotAuthorized}, as: true},

	{name: "foreign", err: io.EOF, code: esserrors.CodeSystem},
	{name: "foreign with the text of a code", err: errors.New("conflict"), code: esserrors.CodeSystem},
	{name: "foreign with an Is method", err: fmt.Errorf("x: %w", isError{esserrors.CodeNotFound}), code: esserrors.CodeSystem, is: []esserrors.Code{esserrors.CodeNotFound}},
	{name: "foreign with an As method", err: asError{&esserrors.Error{Code: esserrors.CodeConflict, Wait: time.Second}}, code: esserrors.CodeConflict, wait: time.Second, as: true},
	{name: "context canceled", err: context.Canceled, code: esserrors.CodeSystem},
	{name: "context deadline", err: fmt.Errorf("x: %w", context.DeadlineExceeded), code: esserrors.CodeSystem},
	{name: "context as cause", err: esserrors.System("cancel", 1, context.Canceled), code: esserrors.CodeSystem, is: []esserrors.Code{esserrors.CodeSystem}, as: true},

	{name: "typed nil", err: typedNil(), code: esserrors.CodeSystem},
	{name: "wrapped typed nil", err: fmt.Errorf("x: %w", typedNil()), code: esserrors.CodeSystem},
	{name: "typed nil joined", err: errors.Join(typedNil(), esserrors.NotFound("cancel", 1, nil)), code: esserrors.CodeNotFound, is: []esserrors.Code{esserrors.CodeNotFound}},
	{name: "typed nil as cause", err: esserrors.Conflict("cancel", 1, "", typedNil()), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, as: true},

	{name: "without a code", err: &esserrors.Error{Op: "cancel"}, code: esserrors.CodeSystem, as: true},
	{name: "undeclared code", err: &esserrors.Error{Code: 200}, code: esserrors.CodeSystem, as: true},
	{name: "without a code around one that has it", err: &esserrors.Error{Op: "cancel", Err: esserrors.NotFound("read", 1, nil)}, code: esserrors.CodeSystem, as: true},
	{name: "without a code beside one that has it", err: errors.Join(esserrors.Stopped("cancel", 1, context.Canceled), esserrors.TooEarly("force", 2, time.Hour)), code: esserrors.CodeConflict, is: []esserrors.Code{esserrors.CodeConflict}, as: true},
	{name: "stopped", err: esserrors.Stopped("cancel", 1, context.Canceled), code: esserrors.CodeSystem, as: true},
}

func TestCodeOf(t *testing.T) {
	t.Parallel()
	for _, tt := range asked {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := esserrors.CodeOf(tt.err)
			if got != tt.code {
				t.Errorf("CodeOf(%v) = %v, want %v", tt.err, got, tt.code)
			}
			// Whatever CodeOf says must be true for errors.Is as well, but for the
			// code that stands for all errors that have none.
			if len(tt.is) > 0 && got != esserrors.CodeSystem && !errors.Is(tt.err, got) {
				t.Errorf("CodeOf(%v) = %v, but errors.Is does not agree", tt.err, got)
			}
		})
	}
}

func TestIs(t *testing.T) {
	t.Parallel()
	for _, tt := range asked {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, c := range allCodes {
				if got, want := errors.Is(tt.err, c), slices.Contains(tt.is, c); got != want {
					t.Errorf("errors.Is(%v, %v) = %v, want %v", tt.err, c, got, want)
				}
			}
		})
	}
}

func TestAsType(t *testing.T) {
	t.Parallel()
	for _, tt := range asked {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, ok := errors.AsType[*esserrors.Error](tt.err)
			if got := ok && e != nil; got != tt.as {
				t.Errorf("errors.AsType[*Error](%v) found one = %v, want %v", tt.err, got, tt.as)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for _, tt := range asked {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := esserrors.RetryAfter(tt.err)
			if got != tt.wait || ok != (tt.wait > 0) {
				t.Errorf("RetryAfter(%v) = %v, %v, want %v, %v", tt.err, got, ok, tt.wait, tt.wait > 0)
			}
		})
	}
}

// A caller that was stopped must stay recognizable behind every code: it is
// not a cancelled request.
func TestContextErrorsShowThrough(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		for _, err := range []error{
			esserrors.NotAuthorized("cancel", 1, cause),
			esserrors.NotFound("cancel", 1, cause),
			esserrors.Conflict("cancel", 1, "", cause),
			esserrors.System("cancel", 1, cause),
			esserrors.Stopped("cancel", 1, cause),
		} {
			if !errors.Is(err, cause) {
				t.Errorf("errors.Is(%v, %v) = false", err, cause)
			}
		}
	}
	for _, c := range allCodes {
		if stopped := esserrors.Stopped("cancel", 1, context.Canceled); errors.Is(stopped, c) {
			t.Errorf("errors.Is(%v, %v) = true", stopped, c)
		}
	}
}
