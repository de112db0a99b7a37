package lifecycle

import (
	"database/sql/driver"
	"iter"
)

// A State is a stage in the life of a request. Its value is ESS's number; what is
// stored and printed is its name.
//
// The zero State is none: it encodes as the empty text, or as NULL in a database.
// It is the Outcome of a [Request] that has none yet; but no request that can be
// worked with is in it. A store returns it as the State of a row that it cannot
// read, for example because a newer version of this module wrote it. (ESS's UNKNOWN
// is not a stage in the life of a request, and has no State here.)
type State uint8

const (
	_ State = iota // an unset field must not look like a state

	// StateWait is the state of a request that waits for its time or turn.
	StateWait

	// StateReady is the state of a request that has been dispatched and waits to
	// be processed.
	StateReady

	// StateRunning is the state of a request that is being processed.
	StateRunning

	// StateCompleted is the state of a request whose work is done and that is
	// being post-processed. It is not terminal.
	StateCompleted

	// StateBlocked is the state of a request that cannot run now because an
	// incompatible request does.
	StateBlocked

	// StateHold is the state of a request that is held back until somebody
	// releases it.
	StateHold

	// StateCancelling is the state of a request that has been cancelled and
	// waits for its own work to acknowledge that it has stopped, or for its
	// children to end, or for both.
	StateCancelling

	// StateExpired is the state of a request that expired before it could be
	// processed. Terminal.
	StateExpired

	// StateCancelled is the state of a request that was cancelled. Terminal.
	StateCancelled

	// StateError is the state of a request that ended in error. Terminal.
	StateError

	// StateWarning is the state of a request that ended with a warning.
	// Terminal.
	StateWarning

	// StateSucceeded is the state of a request that ended well. Terminal.
	StateSucceeded

	// StatePaused is the state of a request that waits for the children that its
	// work submitted while it ran.
	StatePaused

	// StatePendingValidation is the state of a request that has been submitted
	// and not yet validated.
	StatePendingValidation

	// StateValidationFailed is the state of a request that failed its
	// validation. Terminal.
	StateValidationFailed

	// StateScheduleEnded is the state of a request that submits no more children
	// because its schedule has ended. It is not terminal: children may still
	// run.
	StateScheduleEnded

	// StateFinished is the state of a request that ended after its schedule and
	// all its children. Terminal.
	StateFinished

	// StateErrorAutoRetry is the state of a request that failed and is going to
	// be tried again.
	StateErrorAutoRetry

	// StateErrorManualRecovery is the state of a request that failed and waits
	// for somebody to recover it.
	StateErrorManualRecovery

	numStates
)

var stateNames = [numStates]string{
	StateWait:                "WAIT",
	StateReady:               "READY",
	StateRunning:             "RUNNING",
	StateCompleted:           "COMPLETED",
	StateBlocked:             "BLOCKED",
	StateHold:                "HOLD",
	StateCancelling:          "CANCELLING",
	StateExpired:             "EXPIRED",
	StateCancelled:           "CANCELLED",
	StateError:               "ERROR",
	StateWarning:             "WARNING",
	StateSucceeded:           "SUCCEEDED",
	StatePaused:              "PAUSED",
	StatePendingValidation:   "PENDING_VALIDATION",
	StateValidationFailed:    "VALIDATION_FAILED",
	StateScheduleEnded:       "SCHEDULE_ENDED",
	StateFinished:            "FINISHED",
	StateErrorAutoRetry:      "ERROR_AUTO_RETRY",
	StateErrorManualRecovery: "ERROR_MANUAL_RECOVERY",
}

// States returns all states in the order of their declaration.
func States() iter.Seq[State] { return enumAll[State](stateNames[:]) }

// Valid reports whether s is one of the declared states.
func (s State) Valid() bool { return s > 0 && s < numStates }

// String returns the name of s, such as "WAIT", or "State(n)" if s is not valid.
func (s State) String() string { return enumString(s, stateNames[:], "State") }

// AppendText implements [encoding.TextAppender]. It appends nothing for the zero
// State, and returns a [*NameError] if s is neither valid nor zero.
func (s State) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, s, stateNames[:], "State")
}

// MarshalText implements [encoding.TextMarshaler] with what AppendText appends.
func (s State) MarshalText() ([]byte, error) { return s.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the names
// of the declared states, and the empty text for the zero State. Any other text is a
// [*NameError] and leaves s as it is.
func (s *State) UnmarshalText(text []byte) error {
	return s.Scan(text)
}

// Value implements [driver.Valuer] with the name of s, and with nil, which is
// NULL, for the zero State. It returns a [*NameError] if s is neither valid nor
// zero.
func (s State) Value() (driver.Value, error) { return enumValue(s, stateNames[:], "State") }

// Scan implements [database/sql.Scanner]. It takes what UnmarshalText takes, as a
// string or as bytes, and NULL for the zero State. Anything else is an error and
// leaves s as it is.
func (s *State) Scan(src any) error {
	scanned, err := enumScan[State](src, stateNames[:], "State")
	if err == nil {
		*s = scanned
	}
	return err
}
