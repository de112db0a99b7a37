package cancel_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the output recorded in testdata")

// TestScenarios replays the files in testdata/scenario. Each is a list of commands. A command
// is one line, which further lines of input may follow; below "----" is its output, as a
// user sees it. The files are documentation: they show how a cascade behaves.
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
//	broken ID           the store fails on every write to ID, until mended
//	mended ID           ends broken and always
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

// lineDiff shows the first line in which got differs from want.
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
	s := newRunner(t, pageSize, capable)
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
