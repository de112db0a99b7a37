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

// diagrams has one drawing of all kinds and one of each, and the kinds in it.
func diagrams() map[string][]lifecycle.Kind {
	d := map[string][]lifecycle.Kind{"all": nil}
	for k := range lifecycle.Kinds() {
		d[strings.ToLower(k.String())] = []lifecycle.Kind{k}
	}
	return d
}

func TestDiagramsGolden(t *testing.T) {
	t.Parallel()
	for name, kinds := range diagrams() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mermaid, dot := lifecycle.Mermaid(kinds...), lifecycle.DOT(kinds...)
			golden(t, name+".mmd", mermaid)
			golden(t, name+".dot", dot)
			for range 50 {
				if lifecycle.Mermaid(kinds...) != mermaid || lifecycle.DOT(kinds...) != dot {
					t.Fatal("the text changes from one call to the next")
				}
			}
		})
	}
}

// Read back, a diagram says for each kind what the rules say: nothing is lost,
// nothing is added, and no kind is named with a trigger that it does not have.
func TestDiagramsSayWhatTheRulesSay(t *testing.T) {
	t.Parallel()
	d := diagrams()
	d["two"] = []lifecycle.Kind{lifecycle.KindParent, lifecycle.KindChild}
	d["three"] = []lifecycle.Kind{lifecycle.KindSingleton, lifecycle.KindChild, lifecycle.KindParent}
	for name, kinds := range d {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			drawn := kinds
			if len(drawn) == 0 {
				drawn = slices.Collect(lifecycle.Kinds())
			}
			var want []string
			ends := make(map[string]bool)
			for d, r := range ruled() {
				if slices.Contains(drawn, d.kind) {
					want = append(want, fmt.Sprint(d.kind, ": ", r.From, " -> ", r.To, " by ", r.Trigger))
					if lifecycle.Terminal.Has(r.To) {
						ends[r.To.String()] = true
					}
				}
			}
			slices.Sort(want)

			mermaid := readDiagram(t, lifecycle.Mermaid(kinds...), drawn,
				`^stateDiagram-v2$`, `^    (\w+) --> (\w+): (.+)$`, `^    (\w+) --> \[\*\]$|^    \[\*\] --> (WAIT|PENDING_VALIDATION)$`)
			dot := readDiagram(t, lifecycle.DOT(kinds...), drawn,
				`^digraph lifecycle \{$|^\}$|^\trankdir=LR;$|^\tnode \[shape=box, style=rounded\];$`,
				`^\t(\w+) -> (\w+) \[label="([^"]+)"\];$`, `^\t(\w+) \[peripheries=2\];$`)
			for language, got := range map[string]diagram{"Mermaid": mermaid, "DOT": dot} {
				if diff := cmp.Diff(want, got.edges); diff != "" {
					t.Errorf("%s (-want +got):\n%s", language, diff)
				}
				if diff := cmp.Diff(ends, got.ends); diff != "" {
					t.Errorf("%s, terminal states (-want +got):\n%s", language, diff)
				}
			}
			if want := []string{"WAIT", "PENDING_VALIDATION"}; !slices.Equal(mermaid.begins, want) {
				t.Errorf("Mermaid begins with %q, want %q", mermaid.begins, want)
			}
		})
	}
}

// A diagram is what readDiagram understands of one.
type diagram struct {
	edges  []string // sorted
	begins []string
	ends   map[string]bool
}

// readDiagram reads a diagram line by line by these patterns: what stands
// around it, an edge with its label, and a mark of a first or terminal state.
// Any other line is an error, so it checks the syntax too.
func readDiagram(t *testing.T, text string, drawn []lifecycle.Kind, frame, edge, mark string) diagram {
	t.Helper()
	frameRE, edgeRE, markRE := regexp.MustCompile(frame), regexp.MustCompile(edge), regexp.MustCompile(mark)
	labelRE := regexp.MustCompile(`^([a-z_]+)(?: \(([A-Z_, ]+)\))?(?:, |$)`)
	d := diagram{ends: make(map[string]bool)}
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
				d.begins = append(d.begins, m[2])
			}
		} else if !frameRE.MatchString(line) {
			t.Errorf("line %q", line)
		}
	}
	slices.Sort(d.edges)
	return d
}

func TestDiagramArguments(t *testing.T) {
	t.Parallel()
	const (
		child  = lifecycle.KindChild
		parent = lifecycle.KindParent
	)
	tests := []struct {
		name      string
		kinds     []lifecycle.Kind
		same      []lifecycle.Kind
		different bool
	}{
		{name: "order", kinds: []lifecycle.Kind{parent, child}, same: []lifecycle.Kind{child, parent}},
		{name: "twice", kinds: []lifecycle.Kind{child, child}, same: []lifecycle.Kind{child}},
		{name: "all of them", kinds: slices.Collect(lifecycle.Kinds()), same: nil},
		{name: "one not valid", kinds: []lifecycle.Kind{child, 0, 5, 8, 255}, same: []lifecycle.Kind{child}},
		{name: "another kind", kinds: []lifecycle.Kind{child}, same: []lifecycle.Kind{parent}, different: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if same := lifecycle.Mermaid(tt.kinds...) == lifecycle.Mermaid(tt.same...); same == tt.different {
				t.Errorf("Mermaid(%v) equals Mermaid(%v) = %v", tt.kinds, tt.same, same)
			}
			if same := lifecycle.DOT(tt.kinds...) == lifecycle.DOT(tt.same...); same == tt.different {
				t.Errorf("DOT(%v) equals DOT(%v) = %v", tt.kinds, tt.same, same)
			}
		})
	}

	// Nothing valid gives an empty diagram, not one of all kinds.
	if got, want := lifecycle.Mermaid(0), "stateDiagram-v2\n"; got != want {
		t.Errorf("Mermaid(0) = %q, want %q", got, want)
	}
	if got := lifecycle.DOT(255); strings.Contains(got, "WAIT") || !strings.HasSuffix(got, "}\n") {
		t.Errorf("DOT(255) = %q, want a diagram without states", got)
	}
}
