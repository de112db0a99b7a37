package simulate

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/lifecycle"
)

// CheckFaults has something go wrong at every call of the store, one call after the
// other, in every operation of a Canceller on the requests of the trees, with and
// without the capabilities of the store, with pages of two and of the default size:
// the call fails, before or after its effect, or it and all that follow; the caller
// stops; writes conflict, once, three times, for ever; reads are stale; pages are
// short; one request can never be written.
//
// The operation must not panic, and returns success, or the error that belongs to
// what went wrong. Success means that all is done as if nothing had gone wrong. Every
// receipt says what the store did. Every step follows the rules. One request that
// cannot be written keeps no other from being cancelled. Afterwards Resume gets to
// where an undisturbed operation would have.
//
// It returns how many faults there were, and a [*ScriptError] for the first that did
// harm.
func CheckFaults(ctx context.Context, h canceltest.Harness, opts *TreeOptions) (faults int, err error) {
	return opts.check(ctx, h, faultKind)
}

// RunFaults is [CheckFaults] with every tree a subtest of t. It logs how much it is
// going to do and, from time to time, how far it is.
func RunFaults(t *testing.T, h canceltest.Harness, opts *TreeOptions) (faults int) {
	t.Helper()
	return opts.run(t, h, faultKind)
}

var faultKind = trialKind{
	name: "faults", few: 12,
	do:   func(ctx context.Context, s *trial) (int, error) { return s.disturb(ctx) },
	skip: func(s trial) bool { return s.pageSize == 1 },
}

// disturb has everything go wrong with the trial's command, at each of its calls.
func (s *trial) disturb(ctx context.Context) (points int, err error) {
	c, err := s.baseline(ctx)
	if err != nil {
		return 0, err
	}
	for form := range faultForms {
		f := faultForms[form]
		if f.faults == nil || f.may == dies {
			continue
		}
		var numbers []int // nil means every call, while there are any
		if f.request {
			for _, r := range s.tree.Requests {
				numbers = append(numbers, int(r.ID))
			}
		}
		for i := 0; ; i++ {
			n := i + 1
			if f.request {
				if i == len(numbers) {
					break
				}
				n = numbers[i]
			}
			struck, err := s.disturbed(ctx, c, fault{form, n})
			if err != nil {
				return points, err
			}
			if struck {
				points++
			} else if !f.request {
				break
			}
		}
	}
	return points, nil
}

// disturbed plays the command with a fault and resumes. It reports whether the fault
// struck.
func (s *trial) disturbed(ctx context.Context, c baseline, u fault) (struck bool, err error) {
	disturbed := s.command
	disturbed.fault = u
	err = s.on(ctx, func(st *testStore) error {
		before := st.snap
		a, err := s.run(ctx, st, disturbed)
		if struck = a.struck; err != nil || !struck {
			return err
		}
		if err := a.checkCode(c.command); err != nil {
			return s.failure(st, err, nil)
		}
		form := faultForms[u.form]
		switch {
		case form.request:
			if err := s.siblings(st, c, lifecycle.ID(u.n)); err != nil {
				return s.failure(st, err, c.command.after)
			}
		case a.err == nil && form.may != mayMiss:
			if err := sameStates(a.after, c.command.after); err != nil {
				return s.failure(st, fmt.Errorf("8 (a failure never reads as success): %w", err), c.command.after)
			}
		}
		want := c.idle
		if disturbed.op == "resume" || !rows.SameState(before[disturbed.id], a.after[disturbed.id]) {
			want = c.resumed
		}
		if a, err = s.run(ctx, st, resume); err != nil {
			return err
		}
		if a.err != nil {
			return s.failure(st, fmt.Errorf("resume failed: %w", a.err), want)
		}
		if err := errors.Join(sameStates(st.snap, want), canceltest.CheckQuiet(st.snap)); err != nil {
			return s.failure(st, fmt.Errorf("7 (resumed): %w", err), want)
		}
		return nil
	})
	return struck, err
}

// checkCode compares the code of the error with that of the undisturbed command, and with
// what may come of the fault.
func (a *played) checkCode(undisturbed *played) error {
	got, want := codeText(a.err), codeText(undisturbed.err)
	if got == want {
		return nil
	}
	switch faultForms[a.fault.form].may {
	case mayFail:
		if got == "scheduling sub-system error" {
			return nil
		}
	case mayStop:
		if errors.Is(a.err, context.Canceled) {
			return nil
		}
	case mayConflict:
		if got == modelConflict {
			return nil
		}
	}
	if got == "" {
		got = "success"
	}
	return fmt.Errorf("%q ends with %q, and undisturbed with %q", a.command, got, want)
}

// siblings checks that one request which cannot be written has kept back no other, but
// for what is below it or waits for it.
func (s *trial) siblings(st *testStore, c baseline, broken lifecycle.ID) error {
	if broken == s.command.id {
		return nil
	}
	excused := map[lifecycle.ID]bool{broken: true}
	for _, r := range st.snap.Below(broken) {
		excused[r.ID] = true
	}
	for r := st.snap[broken]; r.Parent != 0; r = st.snap[r.Parent] {
		excused[r.Parent] = true
	}
	got, want := canceltest.Snapshot{}, canceltest.Snapshot{}
	for id := range st.snap {
		if !excused[id] {
			got[id], want[id] = st.snap[id], c.command.after[id]
		}
	}
	if err := sameStates(got, want); err != nil {
		return fmt.Errorf("8 (one failure stops no sibling): %w", err)
	}
	return nil
}
