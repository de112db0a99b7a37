package lifecycle

import (
	"database/sql/driver"
	"iter"
)

// A Trigger is something that happens to a request and may change its state. It
// encodes as its name.
//
// The zero Trigger is none: it encodes as the empty text, or as NULL in a database,
// and no rule permits it.
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

	// TriggerPause suspends a request whose work waits for children that it has
	// submitted.
	TriggerPause

	// TriggerResume continues a paused request.
	TriggerResume

	// TriggerComplete ends the work and begins the post-processing.
	TriggerComplete

	// TriggerSucceed ends a request well. In CANCELLING it is how work that was
	// cancelled says that it has succeeded nevertheless.
	TriggerSucceed

	// TriggerWarn ends a request with a warning. In CANCELLING it is how work that
	// was cancelled says that it has ended with one nevertheless.
	TriggerWarn

	// TriggerFail ends a request in error. In CANCELLING it is how work that was
	// cancelled says that it has failed instead of stopping.
	TriggerFail

	// TriggerFailRetryable ends a failed attempt; another one follows automatically.
	TriggerFailRetryable

	// TriggerFailRecoverable ends a failed attempt; somebody has to decide how the
	// request goes on.
	TriggerFailRecoverable

	// TriggerRetry lets a failed request wait for its next attempt, automatically.
	TriggerRetry

	// TriggerRecover lets a failed request wait for its next attempt, because
	// somebody asked for it.
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

	// TriggerSettle ends a cancelled parent once none of its children is live.
	TriggerSettle

	// TriggerForce ends a cancelled request whose work does not acknowledge.
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

// AppendText implements [encoding.TextAppender]. It appends nothing for the zero
// Trigger, and returns a [*NameError] if t is neither valid nor zero.
func (t Trigger) AppendText(b []byte) ([]byte, error) {
	return enumAppend(b, t, triggerNames[:], "Trigger")
}

// MarshalText implements [encoding.TextMarshaler] with what AppendText appends.
func (t Trigger) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText implements [encoding.TextUnmarshaler]. It takes exactly the names
// of the declared triggers, and the empty text for the zero Trigger. Any other text is a
// [*NameError] and leaves t as it is.
func (t *Trigger) UnmarshalText(text []byte) error {
	return t.Scan(text)
}

// Value implements [driver.Valuer] with the name of t, and with nil, which is
// NULL, for the zero Trigger. It returns a [*NameError] if t is neither valid nor
// zero.
func (t Trigger) Value() (driver.Value, error) { return enumValue(t, triggerNames[:], "Trigger") }

// Scan implements [database/sql.Scanner]. It takes what UnmarshalText takes, as a
// string or as bytes, and NULL for the zero Trigger. Anything else is an error and
// leaves t as it is.
func (t *Trigger) Scan(src any) error {
	scanned, err := enumScan[Trigger](src, triggerNames[:], "Trigger")
	if err == nil {
		*t = scanned
	}
	return err
}
