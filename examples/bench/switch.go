package main

import "example.com/ess/lifecycle"

// nextBySwitch is lifecycle.Next as somebody writes it who has no table.
func nextBySwitch(k lifecycle.Kind, s lifecycle.State, t lifecycle.Trigger) lifecycle.State {
	parent := k == lifecycle.KindParent || k == lifecycle.KindSubrequestParent
	switch s {
	case lifecycle.StateWait:
		switch t {
		case lifecycle.TriggerDispatch:
			return lifecycle.StateReady
		case lifecycle.TriggerBlock:
			return lifecycle.StateBlocked
		case lifecycle.TriggerHold:
			return lifecycle.StateHold
		case lifecycle.TriggerExpire:
			return lifecycle.StateExpired
		case lifecycle.TriggerEndSchedule:
			if k == lifecycle.KindParent {
				return lifecycle.StateScheduleEnded
			}
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateReady:
		switch t {
		case lifecycle.TriggerBlock:
			return lifecycle.StateBlocked
		case lifecycle.TriggerHold:
			return lifecycle.StateHold
		case lifecycle.TriggerStart:
			return lifecycle.StateRunning
		case lifecycle.TriggerExpire:
			return lifecycle.StateExpired
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateRunning:
		switch t {
		case lifecycle.TriggerPause:
			if k == lifecycle.KindSubrequestParent {
				return lifecycle.StatePaused
			}
		case lifecycle.TriggerComplete:
			return lifecycle.StateCompleted
		case lifecycle.TriggerFail:
			return lifecycle.StateError
		case lifecycle.TriggerFailRetryable:
			return lifecycle.StateErrorAutoRetry
		case lifecycle.TriggerFailRecoverable:
			return lifecycle.StateErrorManualRecovery
		case lifecycle.TriggerEndSchedule:
			if k == lifecycle.KindParent {
				return lifecycle.StateScheduleEnded
			}
		case lifecycle.TriggerCancel:
			return lifecycle.StateCancelling
		}
	case lifecycle.StateCompleted:
		switch t {
		case lifecycle.TriggerSucceed:
			return lifecycle.StateSucceeded
		case lifecycle.TriggerWarn:
			return lifecycle.StateWarning
		case lifecycle.TriggerCancel:
			return lifecycle.StateCancelling
		}
	case lifecycle.StateBlocked:
		switch t {
		case lifecycle.TriggerDispatch:
			return lifecycle.StateReady
		case lifecycle.TriggerExpire:
			return lifecycle.StateExpired
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateHold:
		switch t {
		case lifecycle.TriggerRelease:
			return lifecycle.StateWait
		case lifecycle.TriggerExpire:
			return lifecycle.StateExpired
		case lifecycle.TriggerEndSchedule:
			if k == lifecycle.KindParent {
				return lifecycle.StateScheduleEnded
			}
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateCancelling:
		switch t {
		case lifecycle.TriggerSucceed:
			if k != lifecycle.KindParent {
				return lifecycle.StateSucceeded
			}
		case lifecycle.TriggerWarn:
			if k != lifecycle.KindParent {
				return lifecycle.StateWarning
			}
		case lifecycle.TriggerFail:
			if k != lifecycle.KindParent {
				return lifecycle.StateError
			}
		case lifecycle.TriggerCancel:
			return lifecycle.StateCancelling
		case lifecycle.TriggerAcknowledge:
			if k != lifecycle.KindParent {
				return lifecycle.StateCancelled
			}
		case lifecycle.TriggerSettle:
			if parent {
				return lifecycle.StateCancelled
			}
		case lifecycle.TriggerForce:
			if k != lifecycle.KindParent {
				return lifecycle.StateCancelled
			}
		}
	case lifecycle.StatePaused:
		switch t {
		case lifecycle.TriggerResume:
			if k == lifecycle.KindSubrequestParent {
				return lifecycle.StateRunning
			}
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StatePendingValidation:
		switch t {
		case lifecycle.TriggerValidate:
			return lifecycle.StateWait
		case lifecycle.TriggerInvalidate:
			return lifecycle.StateValidationFailed
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateScheduleEnded:
		switch t {
		case lifecycle.TriggerFinish:
			if k == lifecycle.KindParent {
				return lifecycle.StateFinished
			}
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateErrorAutoRetry:
		switch t {
		case lifecycle.TriggerFail:
			return lifecycle.StateError
		case lifecycle.TriggerRetry:
			return lifecycle.StateWait
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	case lifecycle.StateErrorManualRecovery:
		switch t {
		case lifecycle.TriggerSucceed:
			return lifecycle.StateSucceeded
		case lifecycle.TriggerWarn:
			return lifecycle.StateWarning
		case lifecycle.TriggerFail:
			return lifecycle.StateError
		case lifecycle.TriggerRecover:
			return lifecycle.StateWait
		case lifecycle.TriggerCancel:
			if parent {
				return lifecycle.StateCancelling
			}
			return lifecycle.StateCancelled
		}
	}
	return 0
}
