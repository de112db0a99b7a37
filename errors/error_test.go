package errors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"time"

	esserrors "example.com/ess/errors"
)

// errCause stands for what a store or an authorizer returned. Clients must
// never see its text.
var errCause = errors.New("dial db.internal:5432 as svc_batch: password hunter2 rejected")

// made has every constructor once with everything and once without a cause.
var made = []struct {
	name string
	err  error
	want esserrors.Error
	text string
}{
	{
		name: "UnsupportedState",
		err:  esserrors.UnsupportedState("cancel", 7, "PARENT", "FINISHED"),
		want: esserrors.Error{
			Code: esserrors.CodeUnsupportedState, Op: "cancel", ID: 7, Kind: "PARENT", State: "FINISHED",
			Detail: `Operation "cancel" is not supported for a PARENT request in state FINISHED.`,
		},
		text: `cancel request 7: unsupported state: Operation "cancel" is not supported for a PARENT request in state FINISHED`,
	},
	{
		name: "UnsupportedState without id",
		err:  esserrors.UnsupportedState("start", 0, "CHILD", "WAIT"),
		want: esserrors.Error{
			Code: esserrors.CodeUnsupportedState, Op: "start", Kind: "CHILD", State: "WAIT",
			Detail: `Operation "start" is not supported for a CHILD request in state WAIT.`,
		},
		text: `start: unsupported state: Operation "start" is not supported for a CHILD request in state WAIT`,
	},
	{
		name: "UnsupportedOutcome",
		err:  esserrors.UnsupportedOutcome("acknowledge", 7, "PAUSED"),
		want: esserrors.Error{
			Code: esserrors.CodeUnsupportedState, Op: "acknowledge", ID: 7, State: "PAUSED",
			Detail: `Operation "acknowledge" cannot end a request in state PAUSED.`,
		},
		text: `acknowledge request 7: unsupported state: Operation "acknowledge" cannot end a request in state PAUSED`,
	},
	{
		name: "NotAuthorized",
		err:  esserrors.NotAuthorized("cancel", 7, errCause),
		want: esserrors.Error{
			Code: esserrors.CodeNotAuthorized, Op: "cancel", ID: 7, Err: errCause,
			Detail: "Not authorized to cancel request 7.",
		},
		text: "cancel request 7: not authorized: Not authorized to cancel request 7: " + errCause.Error(),
	},
	{
		name: "NotAuthorized without cause",
		err:  esserrors.NotAuthorized("cancel", 7, nil),
		want: esserrors.Error{
			Code: esserrors.CodeNotAuthorized, Op: "cancel", ID: 7,
			Detail: "Not authorized to cancel request 7.",
		},
		text: "cancel request 7: not authorized: Not authorized to cancel request 7",
	},
	{
		name: "NotFound",
		err:  esserrors.NotFound("cancel", 7, errCause),
		want: esserrors.Error{
			Code: esserrors.CodeNotFound, Op: "cancel", ID: 7, Err: errCause,
			Detail: "There is no request 7.",
		},
		text: "cancel request 7: request not found: There is no request 7: " + errCause.Error(),
	},
	{
		name: "NotFound without cause",
		err:  esserrors.NotFound("cancel", 7, nil),
		want: esserrors.Error{
			Code: esserrors.CodeNotFound, Op: "cancel", ID: 7,
			Detail: "There is no request 7.",
		},
		text: "cancel request 7: request not found: There is no request 7",
	},
	{
		name: "Conflict",
		err:  esserrors.Conflict("cancel", 7, "Other writers kept changing the request.", errCause),
		want: esserrors.Error{
			Code: esserrors.CodeConflict, Op: "cancel", ID: 7, Err: errCause,
			Detail: "Other writers kept changing the request.",
		},
		text: "cancel request 7: conflict: Other writers kept changing the request: " + errCause.Error(),
	},
	{
		name: "Conflict without detail and cause",
		err:  esserrors.Conflict("cancel", 7, "", nil),
		want: esserrors.Error{Code: esserrors.CodeConflict, Op: "cancel", ID: 7},
		text: "cancel request 7: conflict",
	},
	{
		name: "TooEarly",
		err:  esserrors.TooEarly("force", 7, 29*time.Minute+30*time.Second),
		want: esserrors.Error{
			Code: esserrors.CodeConflict, Op: "force", ID: 7, Wait: 29*time.Minute + 30*time.Second,
			Detail: `Operation "force" on request 7 is possible in 29m30s.`,
		},
		text: `force request 7: conflict: Operation "force" on request 7 is possible in 29m30s`,
	},
	{
		name: "System",
		err:  esserrors.System("resume", 7, errCause),
		want: esserrors.Error{
			Code: esserrors.CodeSystem, Op: "resume", ID: 7, Err: errCause,
			Detail: "The scheduling sub-system failed to resume request 7.",
		},
		text: "resume request 7: scheduling sub-system error: The scheduling sub-system failed to resume request 7: " + errCause.Error(),
	},
	{
		name: "System without cause",
		err:  esserrors.System("resume", 7, nil),
		want: esserrors.Error{
			Code: esserrors.CodeSystem, Op: "resume", ID: 7,
			Detail: "The scheduling sub-system failed to resume request 7.",
		},
		text: "resume request 7: scheduling sub-system error: The scheduling sub-system failed to resume request 7",
	},
	{
		name: "System, about no request",
		err:  esserrors.System("resume", 0, nil),
		want: esserrors.Error{Code: esserrors.CodeSystem, Op: "resume", Detail: "The scheduling sub-system failed to resume."},
		text: "resume: scheduling sub-system error: The scheduling sub-system failed to resume",
	},
	{
		name: "Stopped",
		err:  esserrors.Stopped("cancel", 7, errStopped),
		want: esserrors.Error{Op: "cancel", ID: 7, Err: errStopped},
		text: "cancel request 7: " + errStopped.Error(),
	},
	{
		name: "Stopped without cause",
		err:  esserrors.Stopped("cancel", 7, nil),
		want: esserrors.Error{Op: "cancel", ID: 7},
		text: "cancel request 7: stopped",
	},
}

// errStopped is the cause of a caller that has stopped.
var errStopped = fmt.Errorf("reading from db.internal with hunter2: %w", context.Canceled)

func TestConstructors(t *testing.T) {
	t.Parallel()
	for _, tt := range made {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			e, ok := errors.AsType[*esserrors.Error](tt.err)
			if !ok {
				t.Fatalf("%v is no *Error", tt.err)
			}
			if *e != tt.want {
				t.Errorf("got  %#v\nwant %#v", *e, tt.want)
			}
			if got := tt.err.Error(); got != tt.text {
				t.Errorf("Error() = %q\nwant      %q", got, tt.text)
			}
			if tt.want.Err != nil && !errors.Is(tt.err, tt.want.Err) {
				t.Error("errors.Is does not find the cause")
			}
			if got, want := esserrors.ProblemOf(tt.err, nil).Detail, tt.want.Detail; got != want {
				t.Errorf("ProblemOf().Detail = %q, want %q", got, want)
			}
		})
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk full")
	tests := []struct {
		name string
		err  *esserrors.Error
		want string
	}{
		{"nil", nil, "<nil>"},
		{"zero", &esserrors.Error{}, "stopped"},
		{"undeclared code", &esserrors.Error{Code: 200}, "Code(200)"},
		{"no code, op", &esserrors.Error{Op: "cancel", ID: 5}, "cancel request 5: stopped"},
		{"no code, detail", &esserrors.Error{Op: "cancel", ID: 5, Detail: "Busy."}, "cancel request 5: stopped: Busy"},
		{"no code, cause", &esserrors.Error{Op: "cancel", ID: 5, Err: cause}, "cancel request 5: disk full"},
		{"code", &esserrors.Error{Code: esserrors.CodeConflict}, "conflict"},
		{"op", &esserrors.Error{Code: esserrors.CodeConflict, Op: "cancel"}, "cancel: conflict"},
		{"id", &esserrors.Error{Code: esserrors.CodeConflict, ID: 5}, "request 5: conflict"},
		{"op and id", &esserrors.Error{Code: esserrors.CodeConflict, Op: "cancel", ID: 5}, "cancel request 5: conflict"},
		{"negative id", &esserrors.Error{Code: esserrors.CodeConflict, Op: "cancel", ID: -5}, "cancel request -5: conflict"},
		{"detail", &esserrors.Error{Code: esserrors.CodeConflict, Detail: "Busy."}, "conflict: Busy"},
		{"detail without full stop", &esserrors.Error{Code: esserrors.CodeConflict, Detail: "Busy"}, "conflict: Busy"},
		{"cause", &esserrors.Error{Code: esserrors.CodeSystem, Err: cause}, "scheduling sub-system error: disk full"},
		{"cause that is one of ours", &esserrors.Error{Code: esserrors.CodeSystem, Op: "resume", Err: &esserrors.Error{Code: esserrors.CodeNotFound, ID: 3}}, "resume: scheduling sub-system error: request 3: request not found"},
		{"everything", &esserrors.Error{
			Code: esserrors.CodeSystem, Op: "cancel", ID: 5, Kind: "CHILD", State: "WAIT", Wait: time.Second, Detail: "Busy.", Err: cause,
		}, "cancel request 5: scheduling sub-system error: Busy: disk full"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
			if got := fmt.Sprint(tt.err); got != tt.want {
				t.Errorf("Sprint = %q, want %q", got, tt.want)
			}
		})
	}
}

// Of codes and of errors of this package, Is knows its own code alone.
func TestErrorIs(t *testing.T) {
	t.Parallel()
	for n := range 256 {
		have := esserrors.Code(n)
		e := &esserrors.Error{Code: have, Op: "cancel", ID: 1}
		for n := range 256 {
			target := esserrors.Code(n)
			if got, want := e.Is(target), have == target && have.Valid(); got != want {
				t.Errorf("Error{%v}.Is(%v) = %v, want %v", have, target, got, want)
			}
		}
		if same := (&esserrors.Error{Code: have, Op: "cancel", ID: 1}); errors.Is(e, same) {
			t.Errorf("errors.Is(Error{%v}, an equal Error) = true, want false", have)
		}
		if !errors.Is(e, e) {
			t.Errorf("errors.Is(Error{%v}, itself) = false, want true", have)
		}
		if e.Is(nil) || e.Is(errCause) {
			t.Errorf("Error{%v}.Is holds for a foreign target", have)
		}
		var other *esserrors.Error
		if wraps := (&esserrors.Error{Code: have, Err: e}); wraps.As(&other) {
			t.Errorf("As finds %v in the cause of another Error", other)
		}
		as, ok := errors.AsType[esserrors.Code](e)
		if ok != have.Valid() || ok && as != have {
			t.Errorf("errors.AsType[Code](Error{%v}) = %v, %v", have, as, ok)
		}
	}
}

// The causes have every shape in which a code or an Error can be the cause of
// another one.
var causes = []error{
	esserrors.CodeNotFound,
	esserrors.NotFound("get", 2, io.EOF),
	esserrors.TooEarly("get", 2, time.Hour),
	fmt.Errorf("store: %w", esserrors.NotFound("get", 2, io.EOF)),
	errors.Join(io.EOF, esserrors.CodeNotFound, esserrors.NotFound("get", 2, nil)),
	isError{esserrors.CodeNotFound},
	asError{&esserrors.Error{Code: esserrors.CodeNotFound}},
}

// A code is what this module decided. A store's or an authorizer's error that
// happens to hold another one does not add it.
func TestCausesCodesDoNotMatch(t *testing.T) {
	t.Parallel()
	for _, cause := range causes {
		inner, _ := errors.AsType[*esserrors.Error](cause)
		for _, e := range []*esserrors.Error{
			{Code: esserrors.CodeSystem, Op: "cancel", ID: 1, Err: cause},
			{Code: esserrors.CodeSystem, Err: fmt.Errorf("x: %w", &esserrors.Error{Code: esserrors.CodeConflict, Err: cause})},
			{Code: 0, Op: "cancel", ID: 1, Err: cause},
		} {
			for _, err := range []error{e, fmt.Errorf("wrapped: %w", e), errors.Join(io.ErrNoProgress, e)} {
				for _, c := range allCodes {
					if got, want := errors.Is(err, c), c == e.Code; got != want {
						t.Errorf("errors.Is(%v, %v) = %v, want %v", err, c, got, want)
					}
				}
				if got, ok := errors.AsType[*esserrors.Error](err); !ok || got != e {
					t.Errorf("errors.AsType[*Error](%v) = %v, want the outer one", err, got)
				}
				if inner != nil && errors.Is(err, inner) {
					t.Errorf("errors.Is(%v, the Error in the cause) = true", err)
				}
				if got, ok := errors.AsType[esserrors.Code](err); ok != e.Code.Valid() || ok && got != e.Code {
					t.Errorf("errors.AsType[Code](%v) = %v, %v", err, got, ok)
				}
				if got := esserrors.CodeOf(err); got != esserrors.CodeSystem {
					t.Errorf("CodeOf(%v) = %v, want %v", err, got, esserrors.CodeSystem)
				}
				if wait, ok := esserrors.RetryAfter(err); ok {
					t.Errorf("RetryAfter(%v) = %v: it is the cause's", err, wait)
				}
			}
		}
	}
}

// A cause that is not of this package matches, however deep it lies.
func TestCausesMatch(t *testing.T) {
	t.Parallel()
	disk := &fs.PathError{Op: "read", Path: "/var/jobs", Err: io.ErrUnexpectedEOF}
	inner := esserrors.NotFound("get", 2, fmt.Errorf("store: %w", disk))
	for _, err := range []error{
		inner,
		esserrors.Conflict("cancel", 1, "", inner),
		esserrors.System("cancel", 1, errors.Join(io.EOF, inner)),
		esserrors.Stopped("cancel", 1, fmt.Errorf("%w: %w", context.Canceled, inner)),
	} {
		if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("errors.Is(%v, ...) is wrong", err)
		}
		if got, ok := errors.AsType[*fs.PathError](err); !ok || got != disk {
			t.Errorf("errors.AsType[*fs.PathError](%v) = %v, %v", err, got, ok)
		}
		if _, ok := errors.AsType[*fs.PathError](esserrors.CodeConflict); ok {
			t.Error("a code matches *fs.PathError")
		}
		var timeout interface{ Timeout() bool }
		if !errors.As(err, &timeout) {
			t.Errorf("errors.As(%v) to an interface that the cause implements = false", err)
		}
	}
}

// TestTooEarlyReads checks that the text rounds the wait up, and that RetryAfter does not.
func TestTooEarlyReads(t *testing.T) {
	t.Parallel()
	for wait, want := range map[time.Duration]string{
		1:                                   "1ns",
		time.Second:                         "1s",
		time.Second + 1:                     "2s",
		1979790338 * time.Nanosecond:        "2s",
		30 * time.Minute:                    "30m0s",
		30*time.Minute - time.Nanosecond:    "30m0s",
		29*time.Minute + 59*time.Second + 1: "30m0s",
	} {
		err := esserrors.TooEarly("force", 7, wait)
		if got := esserrors.ProblemOf(err, nil).Detail; got != `Operation "force" on request 7 is possible in `+want+"." {
			t.Errorf("after %v: %s", wait, got)
		}
		if got, _ := esserrors.RetryAfter(err); got != wait {
			t.Errorf("RetryAfter = %v, want %v", got, wait)
		}
	}
}
