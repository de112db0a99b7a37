package cancel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestForeignCodes has everything that is not of this package fail with errors that wrap
// codes of this module. What it reports is its own decision.
func TestForeignCodes(t *testing.T) {
	t.Parallel()
	for code := range esserrors.Codes() {
		for name, foreign := range map[string]error{
			"a code":    fmt.Errorf("remote: %w", code),
			"an error":  fmt.Errorf("remote: %w", &esserrors.Error{Code: code, Op: "select", ID: 77, Wait: time.Hour}),
			"with disk": errors.Join(code, errDisk),
		} {
			fails := func(id lifecycle.ID) *fake {
				repo := newRepo(t, "1 PARENT RUNNING; 2<1 PARENT RUNNING; 3<2 CHILD WAIT; 4<1 CHILD WAIT; 5 PARENT CANCELLING; 6<5 CHILD CANCELLING")
				f := &fake{Repository: repo}
				f.apply = func(ctx context.Context, changes []cancel.Change) ([]bool, error) {
					for _, ch := range changes {
						if ch.Old.ID == id {
							return nil, foreign
						}
					}
					return repo.Apply(ctx, changes)
				}
				return f
			}
			check := func(what string, err error, want esserrors.Code) {
				t.Helper()
				if !errors.Is(err, want) || esserrors.CodeOf(err) != want {
					t.Errorf("%s with %v (%s): %v", what, foreign, name, err)
				}
				for other := range esserrors.Codes() {
					if other != want && errors.Is(err, other) {
						t.Errorf("%s with %v: %v matches %v too", what, foreign, err, other)
					}
				}
				if _, ok := esserrors.RetryAfter(err); ok {
					t.Errorf("%s with %v: %v says when to try again", what, foreign, err)
				}
				if name == "with disk" && !errors.Is(err, errDisk) {
					t.Errorf("%s with %v: %v has lost the cause", what, foreign, err)
				}
			}
			for id := lifecycle.ID(1); id <= 4; id++ {
				res, err := cancel.New(fails(id), nil).Cancel(t.Context(), cancel.Order{ID: 1})
				check(fmt.Sprintf("Cancel, request %d fails", id), err, esserrors.CodeSystem)
				if want := min(int(id)-1, 1); res.Counts[cancel.DispositionFailed] != want || res.Counts[cancel.DispositionConflict] != 0 {
					t.Errorf("Cancel, request %d fails with %v: %v", id, foreign, res.Counts)
				}
			}
			_, err := cancel.New(fails(5), nil).Acknowledge(t.Context(), cancel.Order{ID: 6}, lifecycle.StateCancelled)
			check("Acknowledge", err, esserrors.CodeSystem)
			_, err = cancel.New(fails(5), nil).Resume(t.Context(), nil)
			if err != nil { // nothing was due
				t.Error(err)
			}
			_, err = fire(t.Context(), fails(4), 4, lifecycle.TriggerHold)
			check("Transition", err, esserrors.CodeSystem)
			_, err = cancel.New(newRepo(t, "1 SINGLETON WAIT"), &cancel.Options{
				Authorizer: cancel.AuthorizerFunc(func(context.Context, cancel.Access) error { return foreign }),
			}).Cancel(t.Context(), cancel.Order{ID: 1})
			check("Authorizer", err, esserrors.CodeNotAuthorized)
			// A caller that has stopped is told so, and nothing else.
			ctx, stop := context.WithCancel(t.Context())
			f := fails(0)
			f.get = func(context.Context, lifecycle.ID) (lifecycle.Request, error) {
				stop()
				return lifecycle.Request{}, errors.Join(foreign, errDisk)
			}
			if code == esserrors.CodeNotFound {
				stop()
				continue // that is what Get says of a request that is not there
			}
			_, err = cancel.New(f, nil).Cancel(ctx, cancel.Order{ID: 1})
			if !errors.Is(err, context.Canceled) || errors.Is(err, code) || !errors.Is(err, errDisk) {
				t.Errorf("a stopped caller with %v: %v", foreign, err)
			}
		}
	}
}

// TestTextOfCallers gives texts that no database likes.
func TestTextOfCallers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 1<<20)
	for _, tt := range []struct{ name, given, actor, reason string }{
		{"plain", "ann", "ann", "ann"},
		{"other scripts", "安 – 🙂", "安 – 🙂", "安 – 🙂"},
		{"NUL", "a\x00b", "a b", "a b"},
		{"lines", "a\r\nb\tc\x1b[31m\u0085\u009b", "a  b c [31m  ", "a  b c [31m  "},
		{"not UTF-8", "a\xff\xfeb\xc3", "a\ufffd\ufffdb\ufffd", "a\ufffd\ufffdb\ufffd"},
		{"just short enough", strings.Repeat("x", 255), strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{"just too long for an actor", strings.Repeat("x", 256), strings.Repeat("x", 252) + "…", strings.Repeat("x", 256)},
		{"long", long, long[:252] + "…", long[:996] + "…"},
		{"long and bad", "\x00" + long, " " + long[:250] + "…", " " + long[:996] + "…"},
		{"long and not UTF-8", strings.Repeat("\xff", 1<<20), strings.Repeat("\ufffd", 84) + "…", strings.Repeat("\ufffd", 332) + "…"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING")
			var asked string
			var begun cancel.StartInfo
			told := &interrupts{}
			c := cancel.New(repo, &cancel.Options{
				Now:         clock,
				Interrupter: told,
				Authorizer:  cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error { asked = a.Actor; return nil }),
				Hooks:       cancel.Hooks{Start: func(ctx context.Context, i cancel.StartInfo) context.Context { begun = i; return ctx }},
			})
			_, err := c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: tt.given, Reason: tt.given})
			must(t, err)
			want := cancel.Cause{Root: 1, Actor: tt.actor, Reason: tt.reason, Time: start}
			for id := lifecycle.ID(1); id <= 2; id++ {
				if cause, err := repo.Cause(t.Context(), id); err != nil || cause != want {
					t.Errorf("request %d keeps %q (%d bytes) and %q, %v", id, cause.Actor, len(cause.Actor), cause.Reason, err)
				}
			}
			if asked != tt.given {
				t.Error("the Authorizer was not asked about the actor as given")
			}
			if begun.Actor != tt.actor || begun.Reason != tt.reason || told.causes[0] != want {
				t.Errorf("the hooks were told %+v, the Interrupter %+v", begun, told.causes[0])
			}
			if len(want.Actor) > cancel.MaxActor || len(want.Reason) > cancel.MaxReason || !utf8.ValidString(want.Actor+want.Reason) {
				t.Errorf("%d and %d bytes are kept", len(want.Actor), len(want.Reason))
			}
		})
	}
}

// TestClockWasAhead cancels while the clock is a year ahead, and then sets it right.
func TestClockWasAhead(t *testing.T) {
	t.Parallel()
	overdue := func(c *cancel.Canceller) (n int) {
		for range c.Overdue(context.Background()) {
			n++
		}
		return n
	}
	for _, mends := range []string{"Force", "CheckIn", "Resume"} {
		now := start
		repo := newRepo(t, "1 SINGLETON RUNNING")
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
		now = start.AddDate(1, 0, 0)
		_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		now = start
		switch mends {
		case "Force":
			_, err := c.Force(t.Context(), cancel.Order{ID: 1})
			if wait, ok := esserrors.RetryAfter(err); !ok || wait != 30*time.Minute {
				t.Errorf("Force = %v, try again after %v", err, wait)
			}
		case "CheckIn":
			_, err := c.CheckIn(t.Context(), cancel.Order{ID: 1})
			must(t, err)
		case "Resume":
			_, err := c.Resume(t.Context(), nil)
			must(t, err)
		}
		_, err = c.Cancel(t.Context(), cancel.Order{ID: 1}) // does not move the clock
		must(t, err)
		now = start.Add(30*time.Minute - time.Microsecond)
		if _, err := c.Force(t.Context(), cancel.Order{ID: 1}); !errors.Is(err, esserrors.CodeConflict) || overdue(c) != 0 {
			t.Errorf("%s, before the grace is over: Force = %v, %d overdue", mends, err, overdue(c))
		}
		now = start.Add(30 * time.Minute)
		if n := overdue(c); n != 1 {
			t.Errorf("%s: %d overdue after the grace", mends, n)
		}
		if _, err := c.Force(t.Context(), cancel.Order{ID: 1}); err != nil {
			t.Errorf("%s: Force after the grace: %v", mends, err)
		}
	}
	// Clocks that differ by less than the grace make nobody write but who forces.
	for _, ahead := range []time.Duration{time.Second, 30 * time.Minute} {
		repo := newRepo(t, "1 SINGLETON RUNNING")
		now := start.Add(ahead)
		c := cancel.New(repo, &cancel.Options{Now: func() time.Time { return now }})
		_, err := c.Cancel(t.Context(), cancel.Order{ID: 1})
		must(t, err)
		now = start
		_, err = c.Resume(t.Context(), nil)
		must(t, err)
		if r, _ := repo.Get(t.Context(), 1); !r.CheckedIn.Equal(start.Add(ahead)) {
			t.Errorf("Resume moved the clock of Force to %v", r.CheckedIn)
		}
		_, err = c.Force(t.Context(), cancel.Order{ID: 1})
		if wait, _ := esserrors.RetryAfter(err); wait != 30*time.Minute {
			t.Errorf("Force has to wait for %v", wait)
		}
	}
}

// TestOperationLeftByPanic has a Receipt panic: the hooks are told.
func TestOperationLeftByPanic(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT")
	var ended []cancel.EndInfo
	c := cancel.New(repo, &cancel.Options{Hooks: cancel.Hooks{End: func(_ context.Context, i cancel.EndInfo) { ended = append(ended, i) }}})
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = c.Cancel(t.Context(), cancel.Order{ID: 1, Receipt: func(cancel.Receipt) { panic("boom") }})
	}()
	if len(ended) != 1 || ended[0].ID != 1 || ended[0].Err == nil || ended[0].Result.Counts.Total() == 0 {
		t.Errorf("the hooks were told %+v", ended)
	}
}

// TestHooksOfResume resumes trees that two actors have cancelled.
func TestHooksOfResume(t *testing.T) {
	t.Parallel()
	repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 11 PARENT RUNNING; 12<11 CHILD WAIT")
	for id, actor := range map[lifecycle.ID]string{1: "ann", 11: "bob"} {
		_, err := cancel.New(repo, nil).Fence(t.Context(), cancel.Order{ID: id, Actor: actor})
		must(t, err)
	}
	var begun, ended cancel.StartInfo
	c := cancel.New(repo, &cancel.Options{Hooks: cancel.Hooks{
		Start: func(ctx context.Context, i cancel.StartInfo) context.Context { begun = i; return ctx },
		End:   func(_ context.Context, i cancel.EndInfo) { ended = i.StartInfo },
	}})
	_, err := c.Resume(t.Context(), nil)
	must(t, err)
	if want := (cancel.StartInfo{Op: cancel.OpResume}); begun != want || ended != want {
		t.Errorf("began as %+v, ended as %+v", begun, ended)
	}
	if cause, err := repo.Cause(t.Context(), 12); err != nil || cause.Actor != "bob" {
		t.Errorf("request 12 was cancelled by %+v, %v", cause, err)
	}
}

// A half store cancels some children of a page and fails then.
type half struct {
	levelwise
	tells bool // what it has done
}

func (h half) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	c.Query.Limit = 2
	page, err := h.Repo.CancelChildren(ctx, c)
	if err == nil {
		err = errDisk
	}
	if !h.tells {
		page = cancel.ChildPage{}
	}
	return page, err
}

// TestHalfAPage has CancelChildren fail half-way: what it says it has done is counted, and
// the rest is done by reading and writing it.
func TestHalfAPage(t *testing.T) {
	t.Parallel()
	for _, tells := range []bool{false, true} {
		for _, reports := range []bool{false, true} {
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD RUNNING; 3<1 CHILD WAIT; 4<1 PARENT WAIT; 5<1 CHILD WAIT; 6<4 CHILD RUNNING")
			got, receipt := receipts(t)
			order := cancel.Order{ID: 1, Receipt: receipt}
			if !reports {
				order.Receipt = nil
			}
			told := &interrupts{}
			res, err := cancel.New(half{levelwise{repo}, tells}, &cancel.Options{Interrupter: told}).Cancel(t.Context(), order)
			must(t, err)
			want := cancel.Counts{cancel.DispositionCancelled: 2, cancel.DispositionCancelling: 4}
			if tells && res.Counts != want {
				t.Errorf("receipts %v: %v, want %v", reports, res.Counts, want)
			}
			if reports && tells && len(got) != 6 {
				t.Errorf("%d receipts", len(got))
			}
			if s := states(repo); s != "1 CANCELLING; 2 CANCELLING; 3 CANCELLED; 4 CANCELLING; 5 CANCELLED; 6 CANCELLING" || fmt.Sprint(sorted(told.ids)) != "[2 6]" {
				t.Errorf("tells %v: %s, told %v", tells, s, told.ids)
			}
		}
	}
}

// A lying store answers CancelChildren as it likes.
type lying struct {
	levelwise
	answer func(c cancel.ChildCancel, page cancel.ChildPage) cancel.ChildPage
}

func (l lying) CancelChildren(ctx context.Context, c cancel.ChildCancel) (cancel.ChildPage, error) {
	rs, err := l.Children(ctx, c.Query)
	var page cancel.ChildPage
	for _, r := range rs {
		page.Changes = append(page.Changes, cancel.Change{Old: r, State: r.State, Outcome: r.Outcome, CheckedIn: r.CheckedIn})
	}
	if len(rs) < 2 {
		return page, err
	}
	return l.answer(c, page), err
}

// TestLyingCapability checks that a capability is trusted no more than the three methods:
// whatever it says, the children are cancelled and its answer is an error.
func TestLyingCapability(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage{
		"WAIT -> WAIT": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage { return p },
		"an impossible outcome": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.State, p.Changes[0].State = lifecycle.StateCancelling, lifecycle.StateCancelling
			p.Changes[0].Old.Outcome, p.Changes[0].Outcome = lifecycle.StateRunning, lifecycle.StateRunning
			return p
		},
		"another state": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State, p.Changes[0].Trigger = lifecycle.StateCancelling, lifecycle.TriggerCancel
			return p
		},
		"another trigger": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State, p.Changes[0].Trigger = lifecycle.StateCancelled, lifecycle.TriggerForce
			return p
		},
		"another parent": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.Parent = 77
			return p
		},
		"twice": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[1] = p.Changes[0]
			return p
		},
		"terminal": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].Old.State, p.Changes[0].State = lifecycle.StateError, lifecycle.StateError
			return p
		},
		"a negative number": func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage { return cancel.ChildPage{Cancelled: -1} },
		"too many": func(c cancel.ChildCancel, _ cancel.ChildPage) cancel.ChildPage {
			return cancel.ChildPage{Cancelled: c.Query.Limit + 1}
		},
		"no advance": func(cancel.ChildCancel, cancel.ChildPage) cancel.ChildPage { return cancel.ChildPage{More: true} },
		"one that becomes unreadable": func(_ cancel.ChildCancel, p cancel.ChildPage) cancel.ChildPage {
			p.Changes[0].State = 0
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			repo := newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD WAIT")
			res, err := cancel.New(lying{levelwise{repo}, answer}, nil).Cancel(t.Context(), cancel.Order{ID: 1})
			if !errors.Is(err, esserrors.CodeSystem) || states(repo) != "1 CANCELLED; 2 CANCELLED; 3 CANCELLED" || res.Counts.Total() != 3 {
				t.Errorf("%v, %v; %s", res.Counts, err, states(repo))
			}
		})
	}
}
