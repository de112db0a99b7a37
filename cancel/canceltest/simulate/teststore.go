package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/show"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A setup is how Cancellers see a store.
type setup struct {
	view     view
	pageSize int  // 0 means the default
	silent   bool // nobody asks for receipts
}

// A view is which of its capabilities a store shows.
type view uint8

const (
	viewAll view = iota
	viewByLevel
	viewPlain
)

var viewNames = [...]string{"all capabilities", "by level", "plain"}

func (v view) of(repo cancel.Repository) cancel.Repository {
	switch v {
	case viewPlain:
		return canceltest.Plain(repo)
	case viewByLevel:
		return canceltest.ByLevel(repo)
	default:
		return repo
	}
}

// String returns the text form, such as "plain, pages of 2".
func (s setup) String() string {
	text := viewNames[s.view]
	if s.pageSize > 0 {
		text += fmt.Sprintf(", pages of %d", s.pageSize)
	}
	if s.silent {
		text += ", no receipts"
	}
	return text
}

func parseSetup(text string) (s setup, err error) {
	words := strings.Split(text, ", ")
	for _, word := range words[1:] {
		if word == "no receipts" {
			s.silent = true
		} else if _, err := fmt.Sscanf(word, "pages of %d", &s.pageSize); err != nil || s.pageSize < 1 {
			return s, fmt.Errorf("%q: what is %q?", text, word)
		}
	}
	at := slices.Index(viewNames[:], words[0])
	if at < 0 {
		return s, fmt.Errorf("%q: not a store", text)
	}
	s.view = view(at)
	return s, nil
}

// clockStart is when the clock of a testStore starts.
var clockStart = time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)

// A testStore is a store with a clock. Commands are played on it one after the other, each
// by a Canceller of its own: as if by a process that has just started.
type testStore struct {
	setup
	requests []lifecycle.Request // in the beginning
	repo     cancel.Repository
	now      time.Time
	first    canceltest.Snapshot // the requests in the beginning
	snap     canceltest.Snapshot // the requests now
	played   []*played
	effects  map[effect]int // how often each has been made
	loose    bool           // look at the requests after each command, not after each write
}

// newTestStore takes a testStore on which nothing has been played yet.
func newTestStore(ctx context.Context, repo cancel.Repository, requests []lifecycle.Request, s setup) (*testStore, error) {
	snap, err := canceltest.TakeSnapshot(ctx, repo)
	if err != nil {
		return nil, fmt.Errorf("simulate: reading all requests: %w", err)
	}
	if len(snap) != len(requests) {
		return nil, fmt.Errorf("simulate: canceltest.Harness.New stored %d of %d requests", len(snap), len(requests))
	}
	return &testStore{setup: s, requests: requests, repo: repo, now: clockStart, first: snap, snap: snap, effects: map[effect]int{}}, nil
}

// A played command is one that has been done, and what became of it.
type played struct {
	command
	result   cancel.Result
	in       cancel.CheckInResult
	err      error
	receipts []cancel.Receipt
	told     map[lifecycle.ID]bool
	calls    []canceltest.Call
	struck   bool // what was to go wrong did
	before   canceltest.Snapshot
	after    canceltest.Snapshot
}

// play plays a command. It returns an error if an invariant broke.
func (st *testStore) play(ctx context.Context, c command) (*played, error) {
	st.now = st.now.Add(time.Second)
	a := &played{command: c, before: st.snap, told: map[lifecycle.ID]bool{}}
	st.played = append(st.played, a)
	own, stop := context.WithCancel(ctx)
	defer stop()
	form := faultForms[c.fault.form]
	var faults []canceltest.Fault
	if form.faults != nil {
		faults = form.faults(c.fault.n, stop)
	}
	faulty := canceltest.NewFaulty(st.view.of(st.repo), faults...)
	var broken []error
	if !st.loose {
		faulty.Watch(func(call canceltest.Call) {
			if err := st.step(ctx, c, call); err != nil {
				broken = append(broken, fmt.Errorf("call %d of %q: %w", call.N, c, err))
			}
		})
	}
	canceller := cancel.New(faulty, &cancel.Options{
		PageSize: st.pageSize,
		Now:      func() time.Time { return st.now },
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
			for _, id := range ids {
				a.told[id] = true
			}
			return nil
		}),
	})
	order := cancel.Order{Actor: "ann", Reason: c.op}
	if !st.silent {
		order.Receipt = func(r cancel.Receipt) { a.receipts = append(a.receipts, r) }
	}
	func() {
		defer func() {
			if p := recover(); p != nil {
				broken = append(broken, fmt.Errorf("%q panicked: %v", c, p))
			}
		}()
		a.result, a.in, a.err = c.do(own, canceller, order)
	}()
	a.calls, a.struck = faulty.Trace(), faulty.Struck() > 0
	if st.loose {
		if err := st.look(ctx); err != nil {
			return a, err
		}
	}
	a.after = st.snap
	if form.may != dies {
		broken = append(broken, a.checkReceipts(st.silent)...)
	}
	return a, show.Errors(broken)
}

// look reads all requests.
func (st *testStore) look(ctx context.Context) (err error) {
	if st.snap, err = canceltest.TakeSnapshot(ctx, st.repo); err != nil {
		err = fmt.Errorf("simulate: reading all requests: %w", err)
	}
	return err
}

// step looks at what a call has done.
func (st *testStore) step(ctx context.Context, c command, call canceltest.Call) error {
	if !call.Reached || !slices.Contains([]string{"Apply", "CancelChildren", "CancelTree", "EndParent", "Settle"}, call.Method) {
		return nil
	}
	before := st.snap
	if err := st.look(ctx); err != nil {
		return err
	}
	errs := []error{canceltest.CheckStep(before, st.snap), audit(c, before, st.snap, st.now)}
	for _, e := range effectsOf(call) {
		if c.op == "transition" && e.id == c.id {
			continue // a scheduler may come by again
		}
		if st.effects[e]++; st.effects[e] > 1 {
			errs = append(errs, fmt.Errorf("7 (no double effect): %v of request %d was made a second time", e.trigger, e.id))
		}
	}
	return errors.Join(errs...)
}

// code returns the code of an error in words: "" for nil.
func codeText(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*esserrors.Error](err); ok {
		return e.Code.String()
	}
	return "no code"
}

// A ScriptError says what broke, and how that came about: it is a report with the
// commands and calls, the requests before and after, and a script to play it again.
type ScriptError struct {
	// Err is what broke.
	Err error
	// Script plays it again, with [PlayScript].
	Script string

	report string
}

// Error returns the report.
func (e *ScriptError) Error() string { return e.report }

// Unwrap returns what broke.
func (e *ScriptError) Unwrap() error { return e.Err }

// failure returns a report of what has been done on the store, which ends in problem. want, if not nil, is how
// the requests should be.
func (st *testStore) failure(title string, problem error, want canceltest.Snapshot) error {
	var b strings.Builder
	indent := func(by, text string) {
		for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			fmt.Fprintf(&b, "%s%s\n", by, line)
		}
	}
	draw := func(title string, s canceltest.Snapshot) {
		fmt.Fprintf(&b, "\n%s:\n", title)
		for line := range strings.SplitSeq(strings.TrimRight(s.String(), "\n"), "\n") {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	fmt.Fprintf(&b, "%s (store: %s)\n", title, st.setup)
	indent("  ", problem.Error())
	for n, a := range st.played {
		fmt.Fprintf(&b, "\n%d. %s\n", n+1, a.command)
		const most = 60
		for i, call := range a.calls {
			if i == most {
				fmt.Fprintf(&b, "     and %d more calls\n", len(a.calls)-most)
				break
			}
			fmt.Fprintf(&b, "     %s\n", call)
		}
		b.WriteString(a.ending())
	}
	draw("before", st.first)
	draw("after", st.snap)
	if want != nil {
		draw("expected", want)
	}
	script := st.script()
	b.WriteString("\nplay it again with simulate.PlayScript and this script:\n\n")
	b.WriteString(script)
	return &ScriptError{Err: problem, Script: script, report: b.String()}
}

// ending says how a command ended.
func (a *played) ending() string {
	var b strings.Builder
	if faultForms[a.fault.form].may == dies && a.struck {
		return "     -> the process is gone\n"
	}
	for _, r := range a.receipts {
		r.Err = nil
		fmt.Fprintf(&b, "     receipt: %s\n", r)
	}
	switch a.op {
	case "wait":
		return ""
	case "submit", "delete":
		b.WriteString("     -> " + show.Answer(a.err) + "\n")
		return b.String()
	case "checkin":
		fmt.Fprintf(&b, "     -> cancelling: %v", a.in.Cancelling)
	default:
		fmt.Fprintf(&b, "     -> %v", a.result.Counts)
	}
	if a.err != nil {
		fmt.Fprintf(&b, "; error: %v", a.err)
	}
	b.WriteByte('\n')
	return b.String()
}

// script returns the text form of what has been played.
func (st *testStore) script() string {
	sc := script{setup: st.setup, requests: st.requests}
	for _, a := range st.played {
		sc.commands = append(sc.commands, a.command)
	}
	return sc.String()
}

// A script is a store, its requests, and commands. Its text form is what [PlayScript]
// takes.
type script struct {
	setup
	requests []lifecycle.Request
	commands []command
}

func (sc script) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", sc.setup)
	tree := canceltest.Snapshot{}
	for _, r := range sc.requests {
		tree[r.ID] = r
	}
	b.WriteString(tree.String())
	b.WriteByte('\n')
	for _, c := range sc.commands {
		fmt.Fprintf(&b, "%s\n", c)
	}
	return b.String()
}

func parseScript(text string) (sc script, err error) {
	parts := strings.SplitN(strings.TrimSpace(text), "\n\n", 3)
	if len(parts) < 2 {
		return sc, errors.New("simulate: a script has a store, requests and commands, with an empty line between them")
	}
	if sc.setup, err = parseSetup(strings.TrimSpace(parts[0])); err != nil {
		return sc, fmt.Errorf("simulate: %w", err)
	}
	if sc.requests, err = canceltest.ParseTree(parts[1]); err != nil || len(parts) == 2 {
		return sc, err
	}
	for line := range strings.SplitSeq(strings.TrimSpace(parts[2]), "\n") {
		c, err := parseCommand(strings.TrimSpace(line))
		if err != nil {
			return sc, fmt.Errorf("simulate: %w", err)
		}
		sc.commands = append(sc.commands, c)
	}
	return sc, nil
}
