package canceltest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A Snapshot is all requests of a repository at one moment.
type Snapshot map[lifecycle.ID]lifecycle.Request

// TakeSnapshot reads every request that has no parent, and everything below, in
// whatever state. Nothing should be written meanwhile. A row that the store cannot read
// is in it with State 0.
func TakeSnapshot(ctx context.Context, repo cancel.Repository) (Snapshot, error) {
	snap := Snapshot{}
	for level := []lifecycle.ID{0}; len(level) > 0; {
		var next []lifecycle.ID
		for parents := range slices.Chunk(level, 1000) {
			q := cancel.ChildQuery{Parents: parents, States: lifecycle.Live | lifecycle.Terminal}
			for r, err := range cancel.Children(ctx, repo, q) {
				if err != nil && r.ID == 0 {
					return nil, err
				}
				if _, again := snap[r.ID]; again {
					return nil, fmt.Errorf("request %d was returned twice", r.ID)
				}
				snap[r.ID] = r
				next = append(next, r.ID)
			}
		}
		slices.Sort(next)
		level = next
	}
	return snap, nil
}

// Children returns the children of a request, ordered by ID. Parent 0 stands for
// the requests without one.
func (s Snapshot) Children(parent lifecycle.ID) []lifecycle.Request {
	var kids []lifecycle.Request
	for _, r := range s {
		if r.Parent == parent {
			kids = append(kids, r)
		}
	}
	slices.SortFunc(kids, byID)
	return kids
}

// Below returns everything below a request.
func (s Snapshot) Below(id lifecycle.ID) []lifecycle.Request {
	kids := map[lifecycle.ID][]lifecycle.Request{}
	for _, r := range s {
		kids[r.Parent] = append(kids[r.Parent], r)
	}
	var all []lifecycle.Request
	var down func(id lifecycle.ID)
	down = func(id lifecycle.ID) {
		slices.SortFunc(kids[id], byID)
		for _, kid := range kids[id] {
			all = append(all, kid)
			down(kid.ID)
		}
	}
	down(id)
	return all
}

func byID(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) }

// String draws the trees.
func (s Snapshot) String() string {
	var b strings.Builder
	var draw func(parent lifecycle.ID, indent string)
	draw = func(parent lifecycle.ID, indent string) {
		for _, r := range s.Children(parent) {
			fmt.Fprintf(&b, "%s%d %v %v", indent, r.ID, r.Kind, r.State)
			if r.Outcome != 0 {
				fmt.Fprintf(&b, " (then %v)", r.Outcome)
			}
			b.WriteByte('\n')
			draw(r.ID, indent+"  ")
		}
	}
	draw(0, "")
	return b.String()
}

// ParseTree reads requests in the form that [Snapshot.String] writes: a line such as
// "2 CHILD WAIT" for each, further in than its parent, and perhaps "(then SUCCEEDED)"
// for what the work of a request that is CANCELLING has answered.
func ParseTree(tree string) ([]lifecycle.Request, error) {
	var all []lifecycle.Request
	var above []treeLine // the last request of each level
	for line := range strings.Lines(tree) {
		text := strings.TrimSpace(line)
		if text == "" {
			continue
		}
		at := treeLine{indent: len(line) - len(strings.TrimLeft(line, " \t"))}
		for len(above) > 0 && above[len(above)-1].indent >= at.indent {
			above = above[:len(above)-1]
		}
		r, err := parseRequest(text)
		if err != nil {
			return nil, fmt.Errorf("canceltest: %q: %w", text, err)
		}
		if len(above) > 0 {
			r.Parent = above[len(above)-1].id
		}
		at.id = r.ID
		above = append(above, at)
		all = append(all, r)
	}
	return all, nil
}

type treeLine struct {
	indent int
	id     lifecycle.ID
}

func parseRequest(text string) (r lifecycle.Request, err error) {
	words := strings.Fields(text)
	if len(words) == 5 && words[3] == "(then" {
		err = r.Outcome.UnmarshalText([]byte(strings.TrimSuffix(words[4], ")")))
		words = words[:3]
	}
	if len(words) != 3 {
		return r, errors.New("want an id, a kind and a state")
	}
	id, idErr := strconv.ParseInt(words[0], 10, 64)
	r.ID = lifecycle.ID(id)
	err = errors.Join(err, idErr, r.Kind.UnmarshalText([]byte(words[1])), r.State.UnmarshalText([]byte(words[2])))
	if err != nil {
		return r, err
	}
	return r, r.Validate()
}

// A Move is a transition of a scheduler's own.
type Move struct{ From, To lifecycle.State }

// CheckStep checks the invariants that one step of anybody, from one snapshot to the
// next, must keep: terminal is final, changes follow the rules, a parent ends
// after its children, no child slips in, nothing live vanishes. A step may change
// several requests, each of them once. What the scheduler permits besides the rules is
// in own.
func CheckStep(before, after Snapshot, own ...Move) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[id]; !ok && !lifecycle.Terminal.Has(before[id].State) {
			bad("request %d, which was %v, has vanished", id, before[id].State)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		is := after[id]
		was, old := before[id]
		if !old {
			if p, ok := before[is.Parent]; is.Parent != 0 && (!ok || !lifecycle.AdmitsChildren(p.Kind, p.State)) {
				bad("3 (no escape): child %d slipped in under parent %d, which was %v", id, is.Parent, p.State)
			}
			continue
		}
		if err := is.Validate(); err != nil && is != was {
			bad("%w", err)
		}
		if was.Kind != is.Kind || was.Parent != is.Parent {
			bad("request %d changed its kind or parent", id)
		}
		switch {
		case was.State == is.State && was.Outcome != is.Outcome && was.Outcome != 0:
			bad("8 (receipts are true): the outcome of request %d changed from %v to %v", id, was.Outcome, is.Outcome)
		case was.State == is.State, slices.Contains(own, Move{was.State, is.State}):
		case lifecycle.Terminal.Has(was.State):
			bad("1 (terminal is final): request %d went from %v to %v", id, was.State, is.State)
		case !ruled(was, is.State):
			bad("2 (only rules' transitions): %v request %d went from %v to %v", was.Kind, id, was.State, is.State)
		}
		if lifecycle.Live.Has(was.State) && lifecycle.Terminal.Has(is.State) {
			for _, kid := range after.Children(id) {
				if !lifecycle.Terminal.Has(kid.State) {
					bad("4 (a parent ends last): request %d became %v while child %d was %v", id, is.State, kid.ID, kid.State)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// ruled reports whether a rule takes r to the state, whichever trigger it has. A
// recorded outcome that is not the new state rules it out.
func ruled(r lifecycle.Request, to lifecycle.State) bool {
	if r.Outcome != 0 && r.Outcome != to {
		return false
	}
	for t := range lifecycle.Permitted(r.Kind, r.State) {
		if next, _ := lifecycle.Next(r.Kind, r.State, t); next == to {
			return true
		}
	}
	return false
}

// CheckCancelled checks what holds after root was cancelled without an error: it and
// everything below it has ended, and perhaps been deleted, or is CANCELLING.
func CheckCancelled(s Snapshot, root lifecycle.ID) error {
	var errs []error
	for _, r := range append([]lifecycle.Request{s[root]}, s.Below(root)...) {
		if _, ok := s[r.ID]; ok && r.State != lifecycle.StateCancelling && !lifecycle.Terminal.Has(r.State) {
			errs = append(errs, fmt.Errorf("3 (no escape): request %d is %v after request %d was cancelled", r.ID, r.State, root))
		}
	}
	return errors.Join(errs...)
}

// CheckQuiet checks what holds when nobody is at work any more and every operation
// that was cut off has been resumed: each request that is CANCELLING waits for its
// own work or for a child that is CANCELLING too.
func CheckQuiet(s Snapshot) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s)) {
		r := s[id]
		if r.State != lifecycle.StateCancelling {
			continue
		}
		waits := r.Kind.RunsWork() && r.Outcome == 0
		for _, kid := range s.Children(id) {
			switch {
			case kid.State == lifecycle.StateCancelling, kid.State == 0: // cannot be read, and is taken to be live
				waits = true
			case lifecycle.Live.Has(kid.State):
				errs = append(errs, fmt.Errorf("3 (no escape): request %d is %v below %d, which is CANCELLING", kid.ID, kid.State, id))
			}
		}
		if !waits {
			errs = append(errs, fmt.Errorf("5 (a way out): request %d is CANCELLING and waits for nothing", id))
		}
	}
	return errors.Join(errs...)
}
