package lifecycle_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/ess/lifecycle"
)

// diagrams has one drawing of all kinds, one of each, and some of a scheduler that does
// not have everything.
func diagrams() map[string]lifecycle.Diagram {
	d := map[string]lifecycle.Diagram{"all": {}}
	for k := range lifecycle.Kinds() {
		d[strings.ToLower(k.String())] = lifecycle.Diagram{Kinds: []lifecycle.Kind{k}}
	}
	d["queue"] = lifecycle.Diagram{
		Kinds: []lifecycle.Kind{lifecycle.KindChild, lifecycle.KindParent},
		From:  lifecycle.SetOf(lifecycle.StateReady),
		Without: lifecycle.SetOf(
			lifecycle.StateWait, lifecycle.StateBlocked, lifecycle.StateHold, lifecycle.StateExpired,
			lifecycle.StateErrorAutoRetry, lifecycle.StateErrorManualRecovery,
		),
	}
	return d
}

func TestDiagramsGolden(t *testing.T) {
	t.Parallel()
	for name, d := range diagrams() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mermaid, dot := d.Mermaid(), d.DOT()
			golden(t, name+".mmd", mermaid)
			golden(t, name+".dot", dot)
			for range 50 {
				if d.Mermaid() != mermaid || d.DOT() != dot {
					t.Fatal("the text changes from one call to the next")
				}
			}
		})
	}
}

// Read back, a diagram says for each kind what the rules say of the states that this
// kind reaches: nothing is lost, nothing is added, and no kind is named with a
// trigger that it does not have.
func TestDiagramsSayWhatTheRulesSay(t *testing.T) {
	t.Parallel()
	d := diagrams()
	d["two"] = lifecycle.Diagram{Kinds: []lifecycle.Kind{lifecycle.KindParent, lifecycle.KindChild}}
	d["three"] = lifecycle.Diagram{Kinds: []lifecycle.Kind{lifecycle.KindSingleton, lifecycle.KindChild, lifecycle.KindParent}}
	for s := range lifecycle.States() {
		d["without "+s.String()] = lifecycle.Diagram{Without: lifecycle.SetOf(s)}
		d["from "+s.String()] = lifecycle.Diagram{From: lifecycle.SetOf(s)}
	}
	for name, d := range d {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drawn := d.Kinds
			if drawn == nil {
				drawn = slices.Collect(lifecycle.Kinds())
			}
			first := lifecycle.Initial
			if d.From != 0 {
				first = d.From
			}
			first &^= d.Without
			begins := make(map[string]bool)
			for s := range first.All() {
				begins[s.String()] = true
			}
			var want []string
			ends := make(map[string]bool)
			for _, k := range drawn {
				reached := reachWithout(k, first, d.Without)
				for s := range (reached & lifecycle.Terminal).All() {
					ends[s.String()] = true
				}
				for rule := range lifecycle.Rules() {
					if rule.Kinds.Has(k) && reached.Has(rule.From) && reached.Has(rule.To) {
						want = append(want, fmt.Sprint(k, ": ", rule.From, " -> ", rule.To, " by ", rule.Trigger))
					}
				}
			}
			slices.Sort(want)

			mermaid := readDiagram(t, d.Mermaid(), drawn,
				`^stateDiagram-v2$`, `^    (\w+) --> (\w+): (.+)$`, `^    (\w+) --> \[\*\]$|^    \[\*\] --> (\w+)$`)
			dot := readDiagram(t, d.DOT(), drawn,
				`^digraph lifecycle \{$|^\}$|^\trankdir=LR;$|^\tnode \[shape=box, style=rounded\];$`,
				`^\t(\w+) -> (\w+) \[label="([^"]+)"\];$`, `^\t(\w+) \[peripheries=2\];$|^\t(\w+) \[style="rounded,bold"\];$`)
			for language, got := range map[string]diagram{"Mermaid": mermaid, "DOT": dot} {
				if diff := cmp.Diff(want, got.edges); diff != "" {
					t.Errorf("%s (-want +got):\n%s", language, diff)
				}
				if diff := cmp.Diff(ends, got.ends); diff != "" {
					t.Errorf("%s, terminal states (-want +got):\n%s", language, diff)
				}
				if diff := cmp.Diff(begins, got.begins); diff != "" {
					t.Errorf("%s, first states (-want +got):\n%s", language, diff)
				}
			}
		})
	}
}

// reachWithout is reach for a scheduler that does not have some states.
func reachWithout(k lifecycle.Kind, from, without lifecycle.StateSet) lifecycle.StateSet {
	for range lifecycle.States() {
		for rule := range lifecycle.Rules() {
			if rule.Kinds.Has(k) && from.Has(rule.From) && !without.Has(rule.To) {
				from |= lifecycle.SetOf(rule.To)
			}
		}
	}
	return from
}

// A diagram is what readDiagram understands of one.
type diagram struct {
	edges  []string // sorted
	begins map[string]bool
	ends   map[string]bool
}

// readDiagram reads a diagram line by line by these patterns: what stands
// around it, an edge with its label, and a mark of a first or terminal state.
// Any other line is an error, so it checks the syntax too.
func readDiagram(t *testing.T, text string, drawn []lifecycle.Kind, frame, edge, mark string) diagram {
	t.Helper()
	frameRE, edgeRE, markRE := regexp.MustCompile(frame), regexp.MustCompile(edge), regexp.MustCompile(mark)
	labelRE := regexp.MustCompile(`^([a-z_]+)(?: \(([A-Z_, ]+)\))?(?:, |$)`)
	d := diagram{begins: make(map[string]bool), ends: make(map[string]bool)}
	if !strings.HasSuffix(text, "\n") {
		t.Error("no line end at the end")
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if m := edgeRE.FindStringSubmatch(line); m != nil {
			for label := m[3]; label != ""; {
				part := labelRE.FindStringSubmatch(label)
				if part == nil {
					t.Fatalf("label %q in line %q", label, line)
				}
				label = label[len(part[0]):]
				for _, k := range drawn {
					if part[2] == "" || slices.Contains(strings.Split(part[2], ", "), k.String()) {
						d.edges = append(d.edges, fmt.Sprint(k, ": ", m[1], " -> ", m[2], " by ", part[1]))
					}
				}
			}
		} else if m := markRE.FindStringSubmatch(line); m != nil {
			if m[1] != "" {
				d.ends[m[1]] = true
			} else {
				d.begins[m[2]] = true
			}
		} else if !frameRE.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	slices.Sort(d.edges)
	return d
}

func TestDiagramFields(t *testing.T) {
	t.Parallel()
	const (
		child  = lifecycle.KindChild
		parent = lifecycle.KindParent
	)
	kinds := func(kinds ...lifecycle.Kind) lifecycle.Diagram { return lifecycle.Diagram{Kinds: kinds} }
	tests := []struct {
		name       string
		one, other lifecycle.Diagram
		areTheSame bool
	}{
		{name: "order of kinds", one: kinds(parent, child), other: kinds(child, parent), areTheSame: true},
		{name: "a kind twice", one: kinds(child, child), other: kinds(child), areTheSame: true},
		{name: "all kinds", one: kinds(slices.Collect(lifecycle.Kinds())...), other: lifecycle.Diagram{}, areTheSame: true},
		{name: "a kind that is not valid", one: kinds(child, 0, 5, 8, 255), other: kinds(child), areTheSame: true},
		{name: "another kind", one: kinds(child), other: kinds(parent)},
		{name: "the first states by hand", one: lifecycle.Diagram{From: lifecycle.Initial}, other: lifecycle.Diagram{}, areTheSame: true},
		{name: "another first state", one: lifecycle.Diagram{From: lifecycle.SetOf(lifecycle.StateWait)}, other: lifecycle.Diagram{}},
		{name: "undeclared states", one: lifecycle.Diagram{Without: 1 | 1<<31, From: lifecycle.Initial | 1 | 1<<31}, other: lifecycle.Diagram{}, areTheSame: true},
		{name: "without what no kind has", one: lifecycle.Diagram{Kinds: []lifecycle.Kind{child}, Without: 1 << lifecycle.StatePaused}, other: kinds(child), areTheSame: true},
		{name: "without a state", one: lifecycle.Diagram{Without: 1 << lifecycle.StateHold}, other: lifecycle.Diagram{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if same := tt.one.Mermaid() == tt.other.Mermaid(); same != tt.areTheSame {
				t.Errorf("%+v and %+v are the same in Mermaid = %v", tt.one, tt.other, same)
			}
			if same := tt.one.DOT() == tt.other.DOT(); same != tt.areTheSame {
				t.Errorf("%+v and %+v are the same in DOT = %v", tt.one, tt.other, same)
			}
		})
	}

	// Nothing to draw gives an empty diagram, not one of everything.
	for _, empty := range []lifecycle.Diagram{{Kinds: []lifecycle.Kind{}}, kinds(0), {Without: lifecycle.Initial}} {
		if got, want := empty.Mermaid(), "stateDiagram-v2\n"; got != want {
			t.Errorf("%+v in Mermaid = %q, want %q", empty, got, want)
		}
		if got := empty.DOT(); strings.Contains(got, "WAIT") || !strings.HasSuffix(got, "}\n") {
			t.Errorf("%+v in DOT = %q, want a diagram without states", empty, got)
		}
	}
}
