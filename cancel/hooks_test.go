package cancel_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// TestHooks checks which hooks are called, in which order and with which context.
func TestHooks(t *testing.T) {
	t.Parallel()
	each(t, "1 SUBREQUEST_PARENT RUNNING; 2<1 CHILD WAIT; 3<1 CHILD RUNNING; 4<1 CHILD CANCELLING",
		func(t *testing.T, repo *memrepo.Repo, seen cancel.Repository) {
			type key string
			var log []string
			hooks := func(name key) cancel.Hooks {
				return cancel.Hooks{
					Start: func(ctx context.Context, i cancel.StartInfo) context.Context {
						log = append(log, fmt.Sprintf("%s start %s %d by %s: %s", name, i.Op, i.ID, i.Actor, i.Reason))
						return context.WithValue(ctx, name, i.Op)
					},
					End: func(ctx context.Context, i cancel.EndInfo) {
						log = append(log, fmt.Sprintf("%s end %v %v, %v", name, ctx.Value(name), i.Result.Counts, i.Err))
					},
				}
			}
			b := hooks("b")
			b.Transition = func(ctx context.Context, i cancel.TransitionInfo) {
				r, err := repo.Get(ctx, i.ID)
				if err != nil || r.State != i.To {
					t.Errorf("told of %v before it was stored", i)
				}
				log = append(log, fmt.Sprintf("b %v: %d %v %v -> %v", ctx.Value(key("b")), i.ID, i.Trigger, i.From, i.To))
			}
			c := cancel.New(seen, &cancel.Options{Hooks: cancel.JoinHooks(hooks("a"), cancel.Hooks{}, b), Now: clock})
			do := func(_ any, _ error) {}
			do(c.Cancel(t.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "ledger"}))
			do(c.CheckIn(t.Context(), cancel.Order{ID: 3}))
			do(c.Acknowledge(t.Context(), cancel.Order{ID: 1}, lifecycle.StateWarning))
			do(c.Acknowledge(t.Context(), cancel.Order{ID: 1}, lifecycle.StateHold))
			do(c.Fence(t.Context(), cancel.Order{ID: 99}))
			do(c.Force(t.Context(), cancel.Order{ID: 2}))
			do(c.Resume(t.Context(), nil))
			want := []string{
				"a start cancel 1 by ann: ledger", "b start cancel 1 by ann: ledger",
				"b cancel: 1 cancel RUNNING -> CANCELLING",
				"b cancel: 2 cancel WAIT -> CANCELLED",
				"b cancel: 3 cancel RUNNING -> CANCELLING",
				"b end cancel 1 cancelled, 2 cancelling, 1 already cancelling, <nil>", "a end cancel 1 cancelled, 2 cancelling, 1 already cancelling, <nil>",
				"a start check in 3 by : ", "b start check in 3 by : ",
				"b end check in nothing, <nil>", "a end check in nothing, <nil>",
				"a start acknowledge 1 by : ", "b start acknowledge 1 by : ",
				"b acknowledge: 1 warn CANCELLING -> CANCELLING",
				"b end acknowledge 1 recorded, <nil>", "a end acknowledge 1 recorded, <nil>",
			}
			if diff := gocmp.Diff(want, log[:len(want)]); diff != "" {
				t.Errorf("hooks (-want +got):\n%s", diff)
			}
			starts, ends := 0, 0
			for _, line := range log {
				if strings.Contains(line, " start ") {
					starts++
				} else if strings.Contains(line, " end ") {
					ends++
				}
			}
			if starts != 14 || ends != 14 {
				t.Errorf("%d starts and %d ends of 7 operations with 2 hooks", starts, ends)
			}
		})
}

// TestHooksAreFree checks that nothing is allocated for hooks that are not there, and that
// JoinHooks of hooks without Transition has none, which would make a capability list every
// child.
func TestHooksAreFree(t *testing.T) { // not parallel: it counts allocations
	if cancel.JoinHooks(cancel.Hooks{}, cancel.Hooks{}).Transition != nil {
		t.Error("joined hooks without Transition have one")
	}
	allocs := func(hooks cancel.Hooks) float64 {
		repo := newRepo(t, "1 SINGLETON CANCELLING")
		c := cancel.New(repo, &cancel.Options{Hooks: hooks})
		return testing.AllocsPerRun(100, func() {
			if _, err := c.Cancel(context.Background(), cancel.Order{ID: 1}); err != nil {
				t.Error(err)
			}
		})
	}
	none := allocs(cancel.Hooks{})
	idle := allocs(cancel.Hooks{
		Start: func(ctx context.Context, _ cancel.StartInfo) context.Context { return ctx },
		End:   func(context.Context, cancel.EndInfo) {},
	})
	if none > 2 || idle != none { // the operation itself, and whom to interrupt
		t.Errorf("%v allocations without hooks, %v with hooks that do nothing", none, idle)
	}
}

// TestLogValues checks the attributes in logs.
func TestLogValues(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if slices.Contains([]string{slog.TimeKey, slog.LevelKey, slog.MessageKey}, a.Key) {
			return slog.Attr{}
		}
		return a
	}}))
	c := cancel.New(newRepo(t, "1 PARENT RUNNING; 2<1 CHILD WAIT"), &cancel.Options{
		Hooks: cancel.Hooks{
			Start: func(ctx context.Context, i cancel.StartInfo) context.Context {
				log.Info("", "start", i)
				return ctx
			},
			End:        func(_ context.Context, i cancel.EndInfo) { log.Info("", "end", i) },
			Transition: func(_ context.Context, i cancel.TransitionInfo) { log.Info("", "change", i) },
		},
	})
	for _, id := range []lifecycle.ID{1, 9} {
		_, _ = c.Cancel(t.Context(), cancel.Order{ID: id, Actor: "ann", Reason: "ledger"})
	}
	want := `start.op=cancel start.id=1 start.actor=ann start.reason=ledger
change.id=1 change.parent=0 change.kind=PARENT change.from=RUNNING change.to=CANCELLING change.trigger=cancel change.root=1
change.id=2 change.parent=1 change.kind=CHILD change.from=WAIT change.to=CANCELLED change.trigger=cancel change.root=1
change.id=1 change.parent=0 change.kind=PARENT change.from=CANCELLING change.to=CANCELLED change.trigger=settle change.root=1
end.op=cancel end.id=1 end.actor=ann end.reason=ledger end.counts.cancelled=2
start.op=cancel start.id=9 start.actor=ann start.reason=ledger
end.op=cancel end.id=9 end.actor=ann end.reason=ledger end.err="cancel request 9: request not found: There is no request 9"
`
	if diff := gocmp.Diff(want, b.String()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}

func ExampleHooks() {
	hooks := cancel.Hooks{
		End: func(_ context.Context, i cancel.EndInfo) {
			fmt.Println(i.Op, i.ID, i.Result.Counts)
		},
	}
	canceller := cancel.New(nightly(), &cancel.Options{Hooks: hooks})
	if _, err := canceller.Cancel(context.Background(), cancel.Order{ID: 42}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// cancel 42 1 cancelled, 2 cancelling
}

func ExampleJoinHooks() {
	say := func(word string) cancel.Hooks {
		return cancel.Hooks{Transition: func(_ context.Context, i cancel.TransitionInfo) {
			fmt.Println(word, i.ID, i.Trigger)
		}}
	}
	canceller := cancel.New(nightly(), &cancel.Options{Hooks: cancel.JoinHooks(say("audit"), say("metrics"))})
	if _, err := canceller.Cancel(context.Background(), cancel.Order{ID: 43}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// audit 43 cancel
	// metrics 43 cancel
}

// TestOperationLeftByPanic has a Receipt panic. The End hook is called.
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
