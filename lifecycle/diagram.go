package lifecycle

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// A Diagram says what to draw of the rules: the states that requests of some kinds
// can reach from their first ones, and the transitions between them. The zero
// Diagram draws everything.
//
// A trigger that takes only some of the kinds from one state to another is followed
// by the names of these kinds. The text of a drawing is the same every time.
type Diagram struct {
	// Kinds are the kinds to draw. Nil means all.
	Kinds []Kind
	// From are the states in which the requests begin. Zero means [Initial].
	From StateSet
	// Without are states that the scheduler does not have. They are not drawn, and
	// neither is what can only be reached through them.
	Without StateSet
}

// Mermaid returns d as a Mermaid state diagram.
func (d Diagram) Mermaid() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	drawing := d.draw()
	for s := range drawing.begin.All() {
		fmt.Fprintf(&b, "    [*] --> %v\n", s)
	}
	for e := range drawing.edges() {
		fmt.Fprintf(&b, "    %v --> %v: %s\n", e.from, e.to, e.label)
	}
	for s := range drawing.end.All() {
		fmt.Fprintf(&b, "    %v --> [*]\n", s)
	}
	return b.String()
}

// DOT returns d in the language of Graphviz. The first states are drawn bold, terminal
// states with a double border.
func (d Diagram) DOT() string {
	var b strings.Builder
	b.WriteString("digraph lifecycle {\n\trankdir=LR;\n\tnode [shape=box, style=rounded];\n")
	drawing := d.draw()
	for s := range drawing.begin.All() {
		fmt.Fprintf(&b, "\t%v [style=\"rounded,bold\"];\n", s)
	}
	for s := range drawing.end.All() {
		fmt.Fprintf(&b, "\t%v [peripheries=2];\n", s)
	}
	for e := range drawing.edges() {
		fmt.Fprintf(&b, "\t%v -> %v [label=%q];\n", e.from, e.to, e.label)
	}
	b.WriteString("}\n")
	return b.String()
}

// A drawing is what a Diagram shows.
type drawing struct {
	kinds      KindSet
	begin, end StateSet // the first and the terminal states
	// taken[from][to][t] are the kinds that t takes from one state to the other.
	taken [numStates][numStates][numTriggers]KindSet
}

func (d Diagram) draw() *drawing {
	kinds := d.Kinds
	if kinds == nil {
		kinds = slices.Collect(Kinds())
	}
	from := d.From
	if from == 0 {
		from = Initial
	}
	from &^= d.Without
	g := new(drawing)
	for _, k := range kinds {
		if !k.Valid() {
			continue
		}
		g.kinds |= 1 << k
		g.begin |= from
		reached := from
		for before := StateSet(0); before != reached; {
			before = reached
			for s := range before.All() {
				for t := range Permitted(k, s) {
					if to, _ := Next(k, s, t); !d.Without.Has(to) {
						g.taken[s][to][t] |= 1 << k
						reached |= 1 << to
					}
				}
			}
		}
		g.end |= reached & Terminal
	}
	return g
}

// An edge is all transitions from one state to another.
type edge struct {
	from, to State
	label    string
}

func (g *drawing) edges() iter.Seq[edge] {
	return func(yield func(edge) bool) {
		for from := range States() {
			for to := range States() {
				var labels []string
				for t := range Triggers() {
					switch by := g.taken[from][to][t]; by {
					case 0:
					case g.kinds:
						labels = append(labels, t.String())
					default:
						labels = append(labels, fmt.Sprintf("%v (%v)", t, by))
					}
				}
				if len(labels) > 0 && !yield(edge{from, to, strings.Join(labels, ", ")}) {
					return
				}
			}
		}
	}
}
