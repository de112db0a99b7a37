package lifecycle

import (
	"fmt"
	"slices"
	"strings"
)

// Mermaid returns a Mermaid state diagram of the rules for the given kinds, or
// for all kinds if there is none given. The text is the same every time.
//
// A trigger that holds for some of these kinds only is followed by their names.
func Mermaid(kinds ...Kind) string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	edges := graphEdges(kinds)
	if len(edges) > 0 {
		for s := range Submitted.All() {
			fmt.Fprintf(&b, "    [*] --> %v\n", s)
		}
	}
	for _, e := range edges {
		fmt.Fprintf(&b, "    %v --> %v: %s\n", e.from, e.to, e.label)
	}
	for s := range Terminal.All() {
		if slices.ContainsFunc(edges, func(e graphEdge) bool { return e.to == s }) {
			fmt.Fprintf(&b, "    %v --> [*]\n", s)
		}
	}
	return b.String()
}

// DOT returns the diagram of [Mermaid] in the language of Graphviz. Terminal
// states have a double border.
func DOT(kinds ...Kind) string {
	var b strings.Builder
	b.WriteString("digraph lifecycle {\n\trankdir=LR;\n\tnode [shape=box, style=rounded];\n")
	edges := graphEdges(kinds)
	for s := range Terminal.All() {
		if slices.ContainsFunc(edges, func(e graphEdge) bool { return e.to == s }) {
			fmt.Fprintf(&b, "\t%v [peripheries=2];\n", s)
		}
	}
	for _, e := range edges {
		fmt.Fprintf(&b, "\t%v -> %v [label=%q];\n", e.from, e.to, e.label)
	}
	b.WriteString("}\n")
	return b.String()
}

// A graphEdge is all rules that lead from one state to another.
type graphEdge struct {
	from, to State
	label    string
}

func graphEdges(kinds []Kind) []graphEdge {
	drawn := allKinds
	if len(kinds) > 0 {
		drawn = 0
		for _, k := range kinds {
			if k.Valid() {
				drawn |= 1 << k
			}
		}
	}
	var edges []graphEdge
	for from := range States() {
		for to := range States() {
			var labels []string
			for t := range Triggers() {
				if by := kindsTaking(from, t, to) & drawn; by == drawn && by != 0 {
					labels = append(labels, t.String())
				} else if by != 0 {
					labels = append(labels, fmt.Sprintf("%v (%v)", t, by))
				}
			}
			if len(labels) > 0 {
				edges = append(edges, graphEdge{from, to, strings.Join(labels, ", ")})
			}
		}
	}
	return edges
}

func kindsTaking(from State, t Trigger, to State) (set KindSet) {
	for _, r := range rules {
		if r.From == from && r.Trigger == t && r.To == to {
			set |= r.Kinds
		}
	}
	return set
}
