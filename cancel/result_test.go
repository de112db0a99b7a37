package cancel_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

func TestTexts(t *testing.T) {
	t.Parallel()
	for d := range cancel.Dispositions() {
		if d.String() == "" || strings.HasPrefix(d.String(), "Disposition(") {
			t.Errorf("disposition %d is %q", d, d)
		}
	}
	for range cancel.Dispositions() {
		break
	}
	for got, want := range map[string]string{
		cancel.Disposition(0).String():   "none",
		cancel.Disposition(200).String(): "Disposition(200)",
		cancel.Counts{}.String():         "nothing",
		(&cancel.CancelledError{ID: 7, Cause: cancel.Cause{Actor: "ann", Reason: "ledger"}}).Error():                   `request 7 was cancelled by "ann": ledger`,
		(&cancel.CancelledError{ID: 7}).Error():                                                                        "request 7 was cancelled",
		cancel.Receipt{ID: 7, From: lifecycle.StateWait, Disposition: cancel.DispositionFailed, Err: errDisk}.String(): "7 WAIT -> ?: failed: disk full: secret",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestResumeReportsOnce has one tree fail. Another tree then settles its root, which has one
// Receipt.
func TestResumeReportsOnce(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT CANCELLING; 2<1 PARENT CANCELLING; 3<1 PARENT CANCELLING; 4 PARENT RUNNING")
	f := &fake{Repository: repo}
	f.before = func(call int64) error {
		if call == 2 { // the children of 1
			return errDisk
		}
		return nil
	}
	got, receipt := receipts(t)
	res, err := cancel.New(f, nil).Resume(t.Context(), &cancel.ResumeOptions{Receipt: receipt})
	if !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("error %v", err)
	}
	for id := range lifecycle.ID(3) {
		if r := got[id+1]; r.Disposition != cancel.DispositionSettled || r.To != lifecycle.StateCancelled {
			t.Errorf("receipt %v, want it settled", r)
		}
	}
	if res.Counts[cancel.DispositionSettled] != 3 || res.Counts.Total() != 3 || states(repo) != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED; 4 RUNNING" {
		t.Errorf("%v, %s", res.Counts, states(repo))
	}
}

// TestResumeLeavesWhatFailed has the store write a child and then fail. The child has one
// Receipt, and is left to the next Resume.
func TestResumeLeavesWhatFailed(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT CANCELLING; 2<1 PARENT WAIT; 3<2 CHILD WAIT")
	f := &fake{Repository: repo}
	lose := true
	f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
		made, err := repo.Apply(ctx, changes)
		if lose {
			lose = false
			return nil, errDisk
		}
		return made, err
	}
	got, receipt := receipts(t)
	c := cancel.New(f, nil)
	if _, err := c.Resume(t.Context(), &cancel.ResumeOptions{Receipt: receipt}); !errors.Is(err, esserrors.CodeSystem) {
		t.Errorf("error %v", err)
	}
	if got[2].Disposition != cancel.DispositionFailed || got[1].Disposition != cancel.DispositionAlreadyCancelling {
		t.Errorf("receipts %v, %v", got[1], got[2])
	}
	if _, err := c.Resume(t.Context(), nil); err != nil || states(repo) != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED" {
		t.Errorf("%v, %s", err, states(repo))
	}
}

// TestAnswerThatCannotSettle has the store fail after it has recorded an acknowledgement and
// before the request has ended.
func TestAnswerThatCannotSettle(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		apply func(repo cancel.Repository) func(context.Context, []cancel.Change) ([]bool, error)
		want  cancel.Disposition
	}{
		{"the answer is lost", func(repo cancel.Repository) func(context.Context, []cancel.Change) ([]bool, error) {
			return func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
				if made, err := repo.Apply(ctx, changes); err != nil || changes[0].State == lifecycle.StateCancelling {
					return made, err
				}
				return nil, errDisk
			}
		}, cancel.DispositionFailed},
		{"others are quicker", func(repo cancel.Repository) func(context.Context, []cancel.Change) ([]bool, error) {
			return func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
				if changes[0].State == lifecycle.StateCancelling {
					return repo.Apply(ctx, changes)
				}
				return []bool{false}, nil
			}
		}, cancel.DispositionRecorded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 SUBREQUEST_PARENT CANCELLING")
			f := &fake{Repository: repo, apply: tt.apply(repo)}
			got, receipt := receipts(t)
			_, err := cancel.New(f, nil).Acknowledge(t.Context(), cancel.Order{ID: 1, Receipt: receipt}, lifecycle.StateSucceeded)
			if err == nil || got[1].Disposition != tt.want {
				t.Errorf("receipt %v, error %v", got[1], err)
			}
		})
	}
}
