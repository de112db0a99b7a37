package errors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	esserrors "example.com/ess/errors"
)

// A code answers errors.Is, whatever was wrapped around it.
func Example() {
	err := fmt.Errorf("nightly close: %w", esserrors.NotFound("cancel", 42, nil))

	switch {
	case errors.Is(err, esserrors.CodeNotFound):
		fmt.Println("nothing to cancel")
	case errors.Is(err, esserrors.CodeConflict):
		fmt.Println("try again")
	}

	if e, ok := errors.AsType[*esserrors.Error](err); ok {
		fmt.Println(e.Op, e.ID)
	}
	// Output:
	// nothing to cancel
	// cancel 42
}

func ExampleCodeOf() {
	fmt.Println(esserrors.CodeOf(esserrors.Conflict("cancel", 42, "Somebody else is at it.", nil)))
	fmt.Println(esserrors.CodeOf(fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)))
	fmt.Println(esserrors.CodeOf(nil) == 0)
	// Output:
	// conflict
	// scheduling sub-system error
	// true
}

func ExampleCodes() {
	for c := range esserrors.Codes() {
		e := esserrors.Table(nil).Entry(c)
		fmt.Println(e.Status, e.ErrorCode, c)
	}
	// Output:
	// 400 ESS-00400 unsupported state
	// 403 ESS-00403 not authorized
	// 404 ESS-00404 request not found
	// 409 ESS-00409 conflict
	// 500 ESS-00500 scheduling sub-system error
}

func ExampleCode_Valid() {
	fmt.Println(esserrors.CodeConflict.Valid(), esserrors.Code(0).Valid())
	// Output: true false
}

func ExampleUnsupportedState() {
	fmt.Println(esserrors.UnsupportedState("cancel", 42, "CHILD", "SUCCEEDED"))
	// Output: cancel request 42: unsupported state: Operation "cancel" is not supported for a CHILD request in state SUCCEEDED
}

func ExampleUnsupportedOutcome() {
	fmt.Println(esserrors.UnsupportedOutcome("acknowledge", 42, "WAIT"))
	// Output: acknowledge request 42: unsupported state: Operation "acknowledge" cannot end a request in state WAIT
}

func ExampleNotAuthorized() {
	fmt.Println(esserrors.NotAuthorized("cancel", 42, errors.New("no role ESSAdmin")))
	// Output: cancel request 42: not authorized: Not authorized to cancel request 42: no role ESSAdmin
}

func ExampleNotFound() {
	fmt.Println(esserrors.NotFound("cancel", 42, nil))
	// Output: cancel request 42: request not found: There is no request 42
}

func ExampleConflict() {
	fmt.Println(esserrors.Conflict("cancel", 42, "Others kept changing it.", nil))
	// Output: cancel request 42: conflict: Others kept changing it
}

func ExampleTooEarly() {
	fmt.Println(esserrors.TooEarly("force", 42, 12*time.Minute))
	// Output: force request 42: conflict: Operation "force" on request 42 is possible in 12m0s
}

func ExampleSystem() {
	err := esserrors.System("cancel", 42, io.ErrUnexpectedEOF)
	fmt.Println(err)
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// cancel request 42: scheduling sub-system error: The scheduling sub-system failed to cancel request 42: unexpected EOF
	// true
}

// A caller whose own context has ended: no code matches.
func ExampleStopped() {
	err := esserrors.Stopped("cancel", 42, context.Canceled)
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.Canceled), errors.Is(err, esserrors.CodeSystem))
	fmt.Println(esserrors.CodeOf(err))
	// Output:
	// cancel request 42: context canceled
	// true false
	// scheduling sub-system error
}

// The code is what this module decided; a code in the cause does not match.
func ExampleError_Is() {
	store := fmt.Errorf("reading a parent: %w: %w", esserrors.CodeNotFound, io.ErrUnexpectedEOF)
	err := esserrors.System("cancel", 42, store)
	fmt.Println(errors.Is(err, esserrors.CodeSystem), errors.Is(err, esserrors.CodeNotFound))
	fmt.Println(errors.Is(err, io.ErrUnexpectedEOF))
	// Output:
	// true false
	// true
}

func ExampleRetryAfter() {
	err := esserrors.TooEarly("force", 42, 12*time.Minute)
	if wait, ok := esserrors.RetryAfter(err); ok {
		fmt.Println("again in", wait)
	}
	// Output: again in 12m0s
}

// The document shows the code and the detail, never the cause.
func ExampleProblemOf() {
	err := esserrors.NotFound("cancel", 42, errors.New("pq: no rows, host db.internal"))

	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	if err := enc.Encode(esserrors.ProblemOf(err, nil)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// {
	//   "type": "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.5",
	//   "title": "Request ID not found",
	//   "detail": "There is no request 42.",
	//   "status": 404,
	//   "errorCode": "ESS-00404"
	// }
}

// A table of one's own replaces what it names and leaves the rest as it is.
func ExampleTable() {
	table := esserrors.Table{
		esserrors.CodeNotFound: {ErrorCode: "ACME-17", Type: "https://acme.example/problems/no-such-job"},
	}
	p := esserrors.ProblemOf(esserrors.NotFound("cancel", 42, nil), table)
	fmt.Println(p.Status, p.ErrorCode, p.Title)
	fmt.Println(p.Type)
	// Output:
	// 404 ACME-17 Request ID not found
	// https://acme.example/problems/no-such-job
}

func ExampleTable_Entry() {
	e := esserrors.Table(nil).Entry(esserrors.CodeConflict)
	fmt.Println(e.Status, e.ErrorCode, e.Title)
	// Output: 409 ESS-00409 Conflict
}
