package cancel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

var update = flag.Bool("update", false, "rewrite the output recorded in testdata")

// TestScenarios replays the files in testdata/scenario. Each is a list of commands,
// a line each with further lines of input, and below "----" what the user sees.
// The files are documentation: read one to learn how a cascade behaves.
//
//	requests            insert "id kind state", children indented below parents
//	cancel ID           also fence, force; actor=… reason=… may follow
//	all ID ID…          cancel them all, one after the other
//	acknowledge ID STATE
//	checkin ID
//	resume
//	submit PARENT ID KIND STATE    a scheduler inserts a child
//	fire ID TRIGGER                a scheduler changes a state
//	meanwhile ID TRIGGER           the same, just before the next write to ID
//	always ID TRIGGER TRIGGER…     one of them, in turn, before every write to ID
//	fail N              the store fails on the Nth call from now
//	broken ID           the store fails on every write to ID
//	unreadable ID       the store cannot read the row any more
//	gone ID             its row is deleted as soon as it has ended
//	stop N              the caller's context ends before the Nth call from now
//	deny ACTOR          this actor may do nothing
//	wait DURATION       time passes
//	tree                show all requests
//
// Every file that injects nothing is replayed with every page size and with and
// without the store's capabilities: the output must not change.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/scenario/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(file, []byte(replay(t, string(want), 1000, false)), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			for _, pageSize := range []int{1000, 1, 2, 3} {
				for _, capable := range []bool{false, true} {
					if got := replay(t, string(want), pageSize, capable); got != string(want) {
						t.Fatalf("page size %d, capable %v:\n%s", pageSize, capable, lineDiff(string(want), got))
					}
					if injects(string(want)) { // counts the calls of one way
						return
					}
				}
			}
		})
	}
}

func injects(file string) bool {
	for line := range strings.SplitSeq(file, "\n") {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "fail", "stop", "broken", "meanwhile", "always", "unreadable", "gone":
			return true
		}
	}
	return false
}

// lineDiff shows the first line in which got differs.
func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		if i >= len(w) || i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant: %s\ngot:  %s\nall:\n%s", i+1, strings.Join(w[i:min(i+3, len(w))], "\n      "), strings.Join(g[i:min(i+3, len(g))], "\n      "), got)
		}
	}
	return ""
}

// replay runs the commands of a file and returns the file with their output.
func replay(t *testing.T, file string, pageSize int, capable bool) string {
	t.Helper()
	s := newStage(t, pageSize, capable)
	var out strings.Builder
	for block := range strings.SplitSeq(strings.TrimSpace(file), "\n\n") {
		if strings.HasPrefix(block, "#") {
			fmt.Fprintf(&out, "%s\n\n", strings.TrimSpace(block))
			continue
		}
		input, _, ok := strings.Cut(block, "\n----")
		if !ok {
			t.Fatalf("a command without ----: %q", block)
		}
		fmt.Fprintf(&out, "%s\n----\n%s\n\n", input, strings.TrimSpace(s.run(t, input)))
	}
	return strings.TrimSpace(out.String()) + "\n"
}

// A stage is a store on which scenarios are played, with faults.
type stage struct {
	memrepo.Repo

	now       time.Time
	canceller *cancel.Canceller
	out       strings.Builder

	calls     int // of the operation going on
	failAt    int
	stopAt    int
	stop      context.CancelFunc
	broken    map[lifecycle.ID]bool
	unread    map[lifecycle.ID]bool
	gone      map[lifecycle.ID]bool
	meanwhile map[lifecycle.ID]lifecycle.Trigger
	always    map[lifecycle.ID][]lifecycle.Trigger
	denied    string
	told      []string
}

func newStage(t *testing.T, pageSize int, capable bool) *stage {
	t.Helper()
	s := &stage{
		now:       time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC),
		broken:    map[lifecycle.ID]bool{},
		unread:    map[lifecycle.ID]bool{},
		gone:      map[lifecycle.ID]bool{},
		meanwhile: map[lifecycle.ID]lifecycle.Trigger{},
		always:    map[lifecycle.ID][]lifecycle.Trigger{},
	}
	var repo cancel.Repository = plain{s}
	if capable {
		repo = &s.Repo
	}
	s.canceller = cancel.New(repo, &cancel.Options{
		PageSize: pageSize,
		Now:      func() time.Time { return s.now },
		Authorizer: cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error {
			if a.Actor != "" && a.Actor == s.denied {
				return errors.New("not on the list")
			}
			return nil
		}),
		Interrupter: cancel.InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
			for _, id := range ids {
				s.told = append(s.told, fmt.Sprintf("  interrupt %d: root %d, actor %q, reason %q\n", id, cause.Root, cause.Actor, cause.Reason))
			}
			return nil
		}),
	})
	return s
}

// plain has the three methods and the faults, and can tell causes so that the
// output is that of a store with all capabilities.
type plain struct{ s *stage }

func (p plain) Cause(ctx context.Context, id lifecycle.ID) (cancel.Cause, error) {
	return p.s.Cause(ctx, id)
}

func (p plain) call(ctx context.Context) error {
	s := p.s
	if s.calls++; s.calls == s.stopAt {
		s.stop()
	}
	if s.calls == s.failAt {
		return errors.New("disk full: /var/lib/secret")
	}
	return ctx.Err()
}

func (p plain) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if err := p.call(ctx); err != nil {
		return lifecycle.Request{}, err
	}
	r, err := p.s.Get(ctx, id)
	if err == nil && p.s.gone[id] && lifecycle.Terminal.Has(r.State) {
		return lifecycle.Request{}, cancel.ErrNotFound
	}
	return p.s.read(r), err
}

// read returns r as the store can read it.
func (s *stage) read(r lifecycle.Request) lifecycle.Request {
	if s.unread[r.ID] {
		return lifecycle.Request{ID: r.ID, Parent: r.Parent}
	}
	return r
}

func (p plain) Children(ctx context.Context, q cancel.ChildQuery) ([]lifecycle.Request, error) {
	if err := p.call(ctx); err != nil {
		return nil, err
	}
	page, err := p.s.Children(ctx, q)
	for i := range page {
		page[i] = p.s.read(page[i])
	}
	return page, err
}

func (p plain) Apply(ctx context.Context, changes []cancel.Change) ([]bool, error) {
	if err := p.call(ctx); err != nil {
		return nil, err
	}
	for _, ch := range changes {
		id := ch.Old.ID
		if p.s.broken[id] {
			return nil, fmt.Errorf("row %d is damaged", id)
		}
		if trigger, ok := p.s.meanwhile[id]; ok {
			delete(p.s.meanwhile, id)
			if _, err := fire(ctx, &p.s.Repo, id, trigger); err != nil {
				return nil, err
			}
		}
		if triggers := p.s.always[id]; len(triggers) > 0 {
			p.s.always[id] = append(triggers[1:], triggers[0])
			if _, err := fire(ctx, &p.s.Repo, id, triggers[0]); err != nil {
				return nil, err
			}
		}
	}
	return p.s.Apply(ctx, changes)
}

// run executes one command and returns its output.
func (s *stage) run(t *testing.T, input string) string {
	t.Helper()
	s.out.Reset()
	line, body, _ := strings.Cut(input, "\n")
	words := strings.Fields(line)
	arg := func(i int) string {
		if i >= len(words) {
			t.Fatalf("%q: argument %d is missing", line, i)
		}
		return words[i]
	}
	num := func(i int) int {
		n, err := strconv.Atoi(arg(i))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		return n
	}
	id := func(i int) lifecycle.ID { return lifecycle.ID(num(i)) }
	trigger := func(i int) lifecycle.Trigger { return parse[lifecycle.Trigger](t, arg(i)) }
	var receipts []cancel.Receipt
	order := cancel.Order{Receipt: func(r cancel.Receipt) { receipts = append(receipts, r) }}
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, "actor="); ok {
			order.Actor = v
		}
		if v, ok := strings.CutPrefix(w, "reason="); ok {
			order.Reason = v
		}
	}
	if len(words) > 1 {
		if n, err := strconv.Atoi(words[1]); err == nil {
			order.ID = lifecycle.ID(n)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s.stop, s.calls, s.told = stop, 0, nil

	var result cancel.Result
	var err error
	switch words[0] {
	case "requests":
		s.insert(t, body)
		return s.tree()
	case "tree":
		return s.tree()
	case "wait":
		d, err := time.ParseDuration(arg(1))
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(d)
		return s.now.Format(time.TimeOnly)
	case "fail":
		s.failAt = num(1)
		return "ok"
	case "stop":
		s.stopAt = num(1)
		return "ok"
	case "broken":
		s.broken[id(1)] = true
		return "ok"
	case "mended":
		delete(s.broken, id(1))
		delete(s.always, id(1))
		return "ok"
	case "unreadable":
		s.unread[id(1)] = true
		return "ok"
	case "gone":
		s.gone[id(1)] = true
		return "ok"
	case "deny":
		s.denied = arg(1)
		return "ok"
	case "meanwhile":
		s.meanwhile[id(1)] = trigger(2)
		return "ok"
	case "always":
		for i := 2; i < len(words); i++ {
			s.always[id(1)] = append(s.always[id(1)], trigger(i))
		}
		return "ok"
	case "fire":
		r, err := s.canceller.Transition(ctx, order, trigger(2))
		if err != nil {
			return showError(err)
		}
		return fmt.Sprintf("%d %v", r.ID, r.State)
	case "submit":
		err := s.Submit(ctx, lifecycle.Request{
			Parent: id(1), ID: id(2), Kind: parse[lifecycle.Kind](t, arg(3)), State: parse[lifecycle.State](t, arg(4)),
		})
		if err != nil {
			return showError(err)
		}
		return "ok"
	case "checkin":
		in, err := s.canceller.CheckIn(ctx, order)
		if err != nil {
			return showError(err)
		}
		return fmt.Sprintf("cancelling: %v", in.Cancelling)
	case "cancel":
		result, err = s.canceller.Cancel(ctx, order)
	case "all":
		for i := 1; i < len(words); i++ {
			order.ID = id(i)
			for res, err := range s.canceller.CancelAll(ctx, slices.Values([]cancel.Order{order}), &cancel.AllOptions{Concurrency: 1}) {
				fmt.Fprintf(&s.out, "%d: %v\n", res.Root.ID, res.Counts)
				if err != nil {
					s.out.WriteString(showError(err) + "\n")
				}
			}
		}
		return s.out.String()
	case "fence":
		result, err = s.canceller.Fence(ctx, order)
	case "force":
		result, err = s.canceller.Force(ctx, order)
	case "acknowledge":
		result, err = s.canceller.Acknowledge(ctx, order, parse[lifecycle.State](t, arg(2)))
	case "resume":
		result, err = s.canceller.Resume(ctx, &cancel.ResumeOptions{Receipt: order.Receipt})
	default:
		t.Fatalf("unknown command %q", line)
	}
	s.failAt, s.stopAt = 0, 0

	slices.SortFunc(receipts, func(a, b cancel.Receipt) int { return cmp.Compare(a.ID, b.ID) })
	for _, r := range receipts {
		r.Err = nil
		fmt.Fprintf(&s.out, "  %v\n", r)
	}
	for _, line := range s.told {
		s.out.WriteString(line)
	}
	fmt.Fprintf(&s.out, "%v\n", result.Counts)
	if err != nil {
		s.out.WriteString(showError(err))
	}
	if result.Counts.Total() != len(receipts) {
		t.Errorf("%q: %d receipts, but counts say %d", line, len(receipts), result.Counts.Total())
	}
	return s.out.String()
}

func parse[E any, P interface {
	*E
	UnmarshalText([]byte) error
}](t *testing.T, text string) E {
	t.Helper()
	var e E
	if err := P(&e).UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return e
}

// insert reads requests that are indented below their parents.
func (s *stage) insert(t *testing.T, body string) {
	t.Helper()
	var path []lifecycle.ID
	for line := range strings.SplitSeq(body, "\n") {
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		words := strings.Fields(line)
		if len(words) != 3 {
			t.Fatalf("requests: %q", line)
		}
		n, err := strconv.Atoi(words[0])
		if err != nil {
			t.Fatal(err)
		}
		r := lifecycle.Request{ID: lifecycle.ID(n), Kind: parse[lifecycle.Kind](t, words[1]), State: parse[lifecycle.State](t, words[2])}
		if path = path[:depth]; depth > 0 {
			r.Parent = path[depth-1]
		}
		path = append(path, r.ID)
		if err := s.Insert(r); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *stage) tree() string {
	depth := map[lifecycle.ID]int{}
	var draw func(parent lifecycle.ID)
	all := slices.SortedFunc(s.All(), func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
	draw = func(parent lifecycle.ID) {
		for _, r := range all {
			if r.Parent != parent {
				continue
			}
			depth[r.ID] = depth[parent] + 1
			fmt.Fprintf(&s.out, "%s%d %v %v", strings.Repeat("  ", depth[parent]), r.ID, r.Kind, r.State)
			if r.Outcome != 0 {
				fmt.Fprintf(&s.out, ", then %v", r.Outcome)
			}
			s.out.WriteByte('\n')
			draw(r.ID)
		}
	}
	draw(0)
	return s.out.String()
}

// showError shows the problem document, as a client sees it.
func showError(err error) string {
	if esserrors.CodeOf(err) == esserrors.CodeSystem && !errors.Is(err, esserrors.CodeSystem) {
		return "error without a code: " + err.Error()
	}
	doc := esserrors.ProblemOf(err, nil)
	text, jsonErr := json.Marshal(doc.Detail)
	if jsonErr != nil {
		panic(jsonErr)
	}
	return fmt.Sprintf("error %d %s: %s", doc.Status, doc.ErrorCode, text)
}
