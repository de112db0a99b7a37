package lifecycle

import (
	"database/sql/driver"
	"iter"
)

// A Trigger is something that happens to a request and may change its state.
//
// The zero Trigger is invalid.
type Trigger uint8

const (
	_ Trigger = iota // an unset field must not look like a trigger

	// TriggerValidate accepts a submitted request.
	TriggerValidate

	// TriggerInvalidate rejects a submitted request.
	TriggerInvalidate

	// TriggerDispatch makes a request ready to be processed.
	TriggerDispatch

	// TriggerBlock sets a request aside while an incompatible one runs.
	TriggerBlock

	// TriggerHold holds a request back.
	TriggerHold

	// TriggerRelease ends a hold.
	TriggerRelease

	// TriggerStart begins the processing.
	TriggerStart

	// TriggerPause suspends a request that has submitted children.
	TriggerPause

	// TriggerResume goes on with a paused request.
	TriggerResume

	// TriggerComplete ends the work and begins the post-processing.
	TriggerComplete

	// TriggerSucceed ends a request well. In CANCELLING it is how work
	// acknowledges that it succeeded all the same.
	TriggerSucceed

	// TriggerWarn ends a request with a warning; in CANCELLING, as for
	// TriggerSucceed.
	TriggerWarn

	// TriggerFail ends a request in error; in CANCELLING, as for TriggerSucceed.
	TriggerFail

	// TriggerFailRetryable ends an attempt that is going to be tried again.
	TriggerFailRetryable

	// TriggerFailRecoverable ends an attempt that somebody has to recover.
	TriggerFailRecoverable

	// TriggerRetry begins the next attempt of its own accord.
	TriggerRetry

	// TriggerRecover begins the next attempt because somebody said so.
	TriggerRecover

	// TriggerExpire ends a request whose time has passed before it could be
	// processed.
	TriggerExpire

	// TriggerEndSchedule ends the schedule of a recurring parent.
	TriggerEndSchedule

	// TriggerFinish ends a recurring parent after its last child.
	TriggerFinish

	// TriggerCancel asks that a request be cancelled.
	TriggerCancel

	// TriggerAcknowledge is how work that was cancelled says that it has
	// stopped.
	TriggerAcknowledge

	// TriggerSettle ends a cancelled parent after its last child.
	TriggerSettle

	// TriggerForce ends a cancelled request whose work does not answer.
	TriggerForce

	numTriggers
)

var triggerNames = [numTriggers]string{
	TriggerValidate:        "validate",
	TriggerInvalidate:      "invalidate",
	TriggerDispatch:        "dispatch",
	TriggerBlock:           "block",
	TriggerHold:            "hold",
	TriggerRelease:         "release",
	TriggerStart:           "start",
	TriggerPause:           "pause",
	TriggerResume:          "resume",
	TriggerComplete:        "complete",
	TriggerSucceed:         "succeed",
	TriggerWarn:            "warn",
	TriggerFail:            "fail",
	TriggerFailRetryable:   "fail_retryable",
	TriggerFailRecoverable: "fail_recoverable",
	TriggerRetry:           "retry",
	TriggerRecover:         "recover",
	TriggerExpire:          "expire",
	TriggerEndSchedule:     "end_schedule",
	TriggerFinish:          "finish",
	TriggerCancel:          "cancel",
	TriggerAcknowledge:     "acknowledge",
	TriggerSettle:          "settle",
	TriggerForce:           "force",
}

// Triggers returns all triggers in the order of their declaration.
func Triggers() iter.Seq[Trigger] { return enumAll[Trigger](triggerNames[:]) }

// Valid reports whether t is one of the declared triggers.
func (t Trigger) Valid() bool { return t > 0 && t < numTriggers }

// String returns the name of t, such as "cancel", or "Trigger(n)" if t is not valid.
func (t Trigger) String() string { return enumString(t, triggerNames[:], "Trigger") }

// AppendText implements [encoding.TextAppender]. It fails if t is not valid.
func (t Trigger) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, t, triggerNames[:], "Trigger")
}

// MarshalText implements [encoding.TextMarshaler]. It fails if t is not valid.
func (t Trigger) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the
// names that String returns; any other text gives a [*NameError] and leaves t as
// it is.
func (t *Trigger) UnmarshalText(text []byte) error {
	v, err := enumParse[Trigger](string(text), triggerNames[:], "Trigger")
	if err == nil {
		*t = v
	}
	return err
}

// Value implements [driver.Valuer] with the name of t. It fails if t is not
// valid.
func (t Trigger) Value() (driver.Value, error) {
	b, err := t.AppendText(nil)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

// Scan implements [database/sql.Scanner]. It takes a name as a string or bytes.
// Anything else, NULL included, is an error and leaves t as it is.
func (t *Trigger) Scan(src any) error {
	v, err := enumScan[Trigger](src, triggerNames[:], "Trigger")
	if err == nil {
		*t = v
	}
	return err
}
