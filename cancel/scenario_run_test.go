package cancel_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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

// A runner runs the commands of a scenario on a store with faults.
type runner struct {
	memrepo.Repo

	now       time.Time
	canceller *cancel.Canceller
	out       strings.Builder

	calls     int // of the store, by the command that runs
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

func newRunner(t *testing.T, pageSize int, capable bool) *runner {
	t.Helper()
	s := &runner{
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

// plain has the three methods, with the faults, and Cause, so that the output is that of a
// store with all capabilities.
type plain struct{ s *runner }

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

// read returns r as the store can read it.
func (s *runner) read(r lifecycle.Request) lifecycle.Request {
	if s.unread[r.ID] {
		return lifecycle.Request{ID: r.ID, Parent: r.Parent}
	}
	return r
}

// run executes one command and returns its output.
func (s *runner) run(t *testing.T, input string) string {
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

// insert inserts requests that are indented below their parents.
func (s *runner) insert(t *testing.T, body string) {
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

func (s *runner) tree() string {
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
