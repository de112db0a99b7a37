package main

import (
	_ "embed"
	"fmt"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"example.com/ess/lifecycle"
)

// nightly is the tree that ships with the program. Its comments describe the format.
//
//go:embed nightly.tree
var nightly string

// A tree is what a tree file says.
type tree struct {
	requests []lifecycle.Request // parents before their children
	names    map[lifecycle.ID]string
	manners  map[lifecycle.ID]manner
}

// A treeError says what is wrong with a line of a tree file.
type treeError struct {
	File    string
	Line    int
	Problem string
}

func (e *treeError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Problem) }

// readTree returns the tree in a file, or the nightly one if file is "".
func readTree(file string) (*tree, error) {
	if file == "" {
		return parseTree("nightly.tree", nightly)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseTree(file, string(text))
}

// parseTree returns the tree that text describes. Its error is a *treeError; file
// is the name in it. What parseTree returns can be inserted in a store and
// cancelled.
func parseTree(file, text string) (*tree, error) {
	p := parser{
		file: file,
		tree: tree{names: map[lifecycle.ID]string{}, manners: map[lifecycle.ID]manner{}},
		at:   map[lifecycle.ID]int{},
	}
	line := 0
	for text := range strings.Lines(text) {
		line++
		fields := strings.Fields(text)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		if err := p.add(line, fields); err != nil {
			return nil, err
		}
	}
	if len(p.requests) == 0 {
		return nil, p.errorf(max(line, 1), "the file ends without a request")
	}
	if err := p.checkParents(); err != nil {
		return nil, err
	}
	if err := p.order(); err != nil {
		return nil, err
	}
	return &p.tree, nil
}

// A parser is a tree file that has been read in part.
type parser struct {
	file string
	tree
	at    map[lifecycle.ID]int // where in requests it is
	lines []int                // of each of requests
}

func (p *parser) errorf(line int, format string, args ...any) error {
	return &treeError{p.file, line, fmt.Sprintf(format, args...)}
}

// add adds the request that the fields of a line describe.
func (p *parser) add(line int, fields []string) error {
	if len(fields) < 4 {
		return p.errorf(line, "a request needs at least ID, PARENT, KIND and STATE")
	}
	id, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil || id <= 0 {
		return p.errorf(line, "the id %q is not a positive number", fields[0])
	}
	parent, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || parent < 0 {
		return p.errorf(line, "the parent %q is neither a positive number nor 0", fields[1])
	}
	r := lifecycle.Request{ID: lifecycle.ID(id), Parent: lifecycle.ID(parent)}
	if err := r.Kind.UnmarshalText([]byte(fields[2])); err != nil {
		return p.errorf(line, "unknown kind %q; the kinds are %s", fields[2], list(lifecycle.Kinds()))
	}
	if err := r.State.UnmarshalText([]byte(fields[3])); err != nil {
		return p.errorf(line, "unknown state %q; the states are %s", fields[3], list(lifecycle.States()))
	}
	if r.State == lifecycle.StateCancelling && !r.Kind.RunsWork() {
		r.Outcome = lifecycle.StateCancelled // it waits for its children only
	}
	if first, taken := p.at[r.ID]; taken {
		return p.errorf(line, "request %d is on line %d already", r.ID, p.lines[first])
	}
	name := strings.Join(fields[4:], " ")
	if rest, ok := strings.CutPrefix(name, "work="); ok {
		var m string
		m, name, _ = strings.Cut(rest, " ")
		if !slices.Contains(manners, manner(m)) {
			return p.errorf(line, "unknown manner of work %q; the manners are %s", m, list(slices.Values(manners)))
		}
		if !runs(r) {
			return p.errorf(line, "a %v request in state %v runs no work", r.Kind, r.State)
		}
		p.manners[r.ID] = manner(m)
	}
	if strings.ContainsFunc(name, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return p.errorf(line, "the name %q cannot be printed", name)
	}
	p.names[r.ID] = name
	p.at[r.ID] = len(p.requests)
	p.requests = append(p.requests, r)
	p.lines = append(p.lines, line)
	return nil
}

// list returns the texts of all values, separated by commas.
func list[T any](values iter.Seq[T]) string {
	var texts []string
	for v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, ", ")
}

// checkParents looks for requests whose parents cannot have them.
func (p *parser) checkParents() error {
	for i, r := range p.requests {
		if r.Parent == 0 {
			continue
		}
		at, ok := p.at[r.Parent]
		if !ok {
			return p.errorf(p.lines[i], "request %d has parent %d, which is not in the file", r.ID, r.Parent)
		}
		switch parent := p.requests[at]; {
		case !parent.Kind.HasChildren():
			return p.errorf(p.lines[i], "request %d has parent %d, but a %v has no children", r.ID, r.Parent, parent.Kind)
		case lifecycle.Live.Has(r.State) && lifecycle.Terminal.Has(parent.State):
			return p.errorf(p.lines[i], "request %d is %v, but its parent %d has ended: it is %v", r.ID, r.State, r.Parent, parent.State)
		}
	}
	return nil
}

// order puts parents before their children, which [memrepo.Repo.Insert] asks for.
func (p *parser) order() error {
	children := map[lifecycle.ID][]lifecycle.Request{}
	for _, r := range p.requests {
		children[r.Parent] = append(children[r.Parent], r)
	}
	ordered := children[0]
	for i := 0; i < len(ordered); i++ {
		ordered = append(ordered, children[ordered[i].ID]...)
		delete(children, ordered[i].ID)
	}
	delete(children, 0)
	for at, r := range p.requests {
		if children[r.Parent] != nil {
			// No request at the top is above r: so many steps up end in a cycle.
			for range p.requests {
				at = p.at[p.requests[at].Parent]
			}
			return p.errorf(p.lines[at], "request %d is below itself", p.requests[at].ID)
		}
	}
	p.requests = ordered
	return nil
}
