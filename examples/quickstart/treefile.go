package main

import (
	_ "embed"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

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
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxSize:
		return nil, fmt.Errorf("%s: a tree file has at most %s bytes", file, grouped(maxSize))
	}
	return parseTree(file, string(text))
}

// What a tree may have, so that it can be drawn: 20,000 requests, each below the one
// before, would take gigabytes of lines between them.
const (
	maxSize     = 1 << 20 // bytes of the file
	maxRequests = 1000
	maxDepth    = 30 // levels
	maxName     = 60 // characters
)

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
		return p.errorf(line, "the id %s is not a positive number", short(fields[0]))
	}
	parent, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil || parent < 0 {
		return p.errorf(line, "the parent %s is neither a positive number nor 0", short(fields[1]))
	}
	r := lifecycle.Request{ID: lifecycle.ID(id), Parent: lifecycle.ID(parent)}
	if err := r.Kind.UnmarshalText([]byte(fields[2])); err != nil {
		return p.errorf(line, "unknown kind %s; the kinds are %s", short(fields[2]), list(lifecycle.Kinds()))
	}
	if err := r.State.UnmarshalText([]byte(fields[3])); err != nil {
		return p.errorf(line, "unknown state %s; the states are %s", short(fields[3]), list(lifecycle.States()))
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
			return p.errorf(line, "unknown manner of work %s; the manners are %s", short(m), list(slices.Values(manners)))
		}
		if !runs(r) {
			return p.errorf(line, "a %v request in state %v runs no work", r.Kind, r.State)
		}
		p.manners[r.ID] = manner(m)
	}
	if !isPrintable(name) {
		return p.errorf(line, "the name %s cannot be printed", short(name))
	}
	if utf8.RuneCountInString(name) > maxName {
		return p.errorf(line, "the name %s is longer than %d characters", short(name), maxName)
	}
	if len(p.requests) == maxRequests {
		return p.errorf(line, "a tree has at most %s requests; -n makes larger ones", grouped(maxRequests))
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
	delete(children, 0)
	levels := map[lifecycle.ID]int{} // that each of ordered is on, from 1
	for i := 0; i < len(ordered); i++ {
		r := ordered[i]
		levels[r.ID] = levels[r.Parent] + 1
		if levels[r.ID] > maxDepth {
			return p.errorf(p.lines[p.at[r.ID]], "request %d is on level %d; a tree has at most %d levels", r.ID, levels[r.ID], maxDepth)
		}
		ordered = append(ordered, children[r.ID]...)
		delete(children, r.ID)
	}
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
