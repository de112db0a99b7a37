package canceltest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

var causeChecks = []check{
	{
		"Cause/OfTheFirstCancel", "Cause returns the Cause of the first change with TriggerCancel that was made to the request, whatever came before and after it.",
		func(ctx context.Context, h Harness) error {
			r := h.request(1, 0, lifecycle.KindSubrequestParent, lifecycle.StateReady)
			return capable(ctx, h, []lifecycle.Request{r}, func(repo cancel.CauseReader) error {
				start := cancel.Change{Old: r, Trigger: lifecycle.TriggerStart, State: lifecycle.StateRunning}
				want := cancel.Cause{}
				for i, ch := range append([]cancel.Change{start}, h.life(start.New())...) {
					ch.Cause = why
					ch.Cause.Reason = fmt.Sprintf("change %d", i+1)
					ch.Cause.Root = lifecycle.ID(i + 1)
					if err := made(ctx, repo, ch); err != nil {
						return err
					}
					if ch.Trigger == lifecycle.TriggerCancel {
						want = ch.Cause
					}
					if err := wantCause(ctx, repo, 1, want); err != nil {
						return fmt.Errorf("after %d changes: %w", i+1, err)
					}
				}
				return nil
			})
		},
	}, {
		"Cause/ZeroIfNone", "Cause returns the zero Cause if no change was made to the request; one that was not made has none.",
		onCapable(Harness.everyRequest, func(ctx context.Context, _ Harness, repo cancel.CauseReader, all []lifecycle.Request) error {
			leaf := all[2]
			stale := leaf
			stale.State = lifecycle.StateRunning
			if err := notMade(ctx, repo, cancelled(stale), leaf); err != nil {
				return err
			}
			for _, r := range []lifecycle.Request{leaf, all[1], all[len(all)-1]} {
				if err := wantCause(ctx, repo, r.ID, cancel.Cause{}); err != nil {
					return err
				}
			}
			return nil
		}),
	}, {
		"Cause/NotFound", "Cause returns an error matching ErrNotFound for an id that no request has.",
		onCapable(Harness.families, func(ctx context.Context, _ Harness, repo cancel.CauseReader, _ []lifecycle.Request) error {
			for _, id := range []lifecycle.ID{5, math.MaxInt64} {
				cause, err := repo.Cause(ctx, id)
				if errors.Is(err, errors.ErrUnsupported) {
					return err
				}
				if !errors.Is(err, cancel.ErrNotFound) {
					return fmt.Errorf("Cause(%d), of which there is none, returned %+v and the error %v, want one matching cancel.ErrNotFound", id, cause, err)
				}
			}
			return nil
		}),
	}, {
		"Cause/KeepsTheWords", "Root, Actor, Reason and Time are kept as they are: any text of MaxActor or MaxReason bytes, and the time to the microsecond.",
		func(ctx context.Context, h Harness) error {
			causes := oddCauses()
			var all []lifecycle.Request
			for id := range causes {
				all = append(all, h.request(lifecycle.ID(id+1), 0, lifecycle.KindSingleton, lifecycle.StateWait))
			}
			return capable(ctx, h, all, func(repo cancel.CauseReader) error {
				var changes []cancel.Change
				for i, r := range all {
					ch := cancelled(r)
					ch.Cause = causes[i]
					changes = append(changes, ch)
				}
				if err := wantApply(ctx, repo, changes, slices.Repeat([]bool{true}, len(changes))); err != nil {
					return err
				}
				var errs []error
				for i, r := range all {
					errs = append(errs, wantCause(ctx, repo, r.ID, causes[i]))
				}
				return show.Errors(errs)
			})
		},
	}, {
		"Cause/ContextDone", contextDone,
		func(ctx context.Context, h Harness) error {
			return capable(ctx, h, nil, func(cancel.CauseReader) error {
				return whenDone(ctx, h, func(ctx context.Context, repo cancel.Repository) error {
					_, err := repo.(cancel.CauseReader).Cause(ctx, 101)
					return err
				})
			})
		},
	},
}

// oddCauses returns causes with texts that are easily spoilt.
func oddCauses() []cancel.Cause {
	var causes []cancel.Cause
	for i, text := range []string{
		"", "plain", "it's \"quoted\" `thrice`", `back\slash %s %% $1 ? :name`, " spaces around  ", strings.Repeat("é", cancel.MaxActor/2),
		"ünïcödé 日本語 العربية 🙂 e\u0301", "'; DROP TABLE request; --", "{\"json\": [null]} <xml/> a,b;c|d", "NULL", "0", strings.Repeat("x", cancel.MaxActor),
	} {
		long := strings.Repeat("long é ", cancel.MaxReason/8)
		causes = append(causes,
			cancel.Cause{Root: lifecycle.ID(i + 1), Actor: text, Reason: long, Time: moment.Add(time.Duration(i) * time.Microsecond)},
			cancel.Cause{Root: math.MaxInt64 - lifecycle.ID(i), Actor: "actor", Reason: text, Time: moment.Add(time.Duration(i) * 999 * time.Hour)},
		)
	}
	return causes
}

func sameCause(a, b cancel.Cause) bool {
	return a.Root == b.Root && a.Actor == b.Actor && a.Reason == b.Reason && a.Time.Equal(b.Time)
}

func showCause(c cancel.Cause) string {
	short := func(s string) string {
		if len(s) > 60 {
			return fmt.Sprintf("%.50q… (%d bytes)", s, len(s))
		}
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("{Root %d, Actor %s, Reason %s, Time %s}", c.Root, short(c.Actor), short(c.Reason), c.Time.UTC().Format("2006-01-02T15:04:05.999999999Z"))
}

// wantCause checks what the store says of the cause, if it can tell.
func wantCause(ctx context.Context, repo cancel.Repository, id lifecycle.ID, want cancel.Cause) error {
	reader, ok := repo.(cancel.CauseReader)
	if !ok {
		return nil
	}
	got, err := reader.Cause(ctx, id)
	if errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("Cause(%d) returned the error %w, want %s", id, err, showCause(want))
	}
	if !sameCause(got, want) {
		return fmt.Errorf("Cause(%d) returned %s, want %s", id, showCause(got), showCause(want))
	}
	return nil
}
