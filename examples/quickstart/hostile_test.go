package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// chain returns a tree file in which each request is below the one before.
func chain(n int) string {
	var b strings.Builder
	for id := range n {
		fmt.Fprintf(&b, "%d %d PARENT RUNNING\n", id+1, id)
	}
	return b.String()
}

// TestHostileTrees checks that a tree file can do no harm: the program ends with an
// error that is short and does nothing to a terminal.
func TestHostileTrees(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 500_000)
	tests := []struct {
		name, text string
		want       string // in the error
	}{
		{"20,000 levels", chain(20_000), "a.tree:1001: a tree has at most 1,000 requests"},
		{"31 levels", chain(31), "a.tree:31: request 31 is on level 31; a tree has at most 30 levels"},
		{"20,000 children", "1 0 PARENT RUNNING\n" + childrenOf(1, 2, 20_000), "a.tree:1001: a tree has at most 1,000 requests"},
		{"large file", strings.Repeat("# nothing\n", 200_000), "a.tree: a tree file has at most 1,048,576 bytes"},
		{"long id", long + " 0 CHILD WAIT\n", `xxx"… is not a positive number`},
		{"long parent", "1 " + long + " CHILD WAIT\n", `xxx"… is neither a positive number nor 0`},
		{"long kind", "1 0 " + long + " WAIT\n", `xxx"…; the kinds are SINGLETON, CHILD`},
		{"long state", "1 0 CHILD " + long + "\n", `xxx"…; the states are WAIT, READY`},
		{"long manner", "1 0 CHILD RUNNING work=" + long + "\n", `xxx"…; the manners are stops`},
		{"long name", "1 0 CHILD WAIT " + long + "\n", "is longer than 60 characters"},
		{"escape sequence", "1 0 CHILD WAIT \x1b[2J\n", `the name "\x1b[2J" cannot be printed`},
		{"raw C1", "1 0 CHILD WAIT a\x9b2J\n", `the name "a\x9b2J" cannot be printed`},
		{"C1", "1 0 CHILD WAIT a\u009b2J\n", `the name "a\u009b2J" cannot be printed`},
		{"backspace", "1 0 CHILD WAIT ok\b\bno\n", `the name "ok\b\bno" cannot be printed`},
		{"delete", "1 0 CHILD WAIT ok\x7f\n", `the name "ok\x7f" cannot be printed`},
		{"bidi override", "1 0 CHILD WAIT \u202etxt\n", `the name "\u202etxt" cannot be printed`},
		{"bidi isolate", "1 0 CHILD WAIT \u2066txt\n", `the name "\u2066txt" cannot be printed`},
		{"no UTF-8", "1 0 CHILD WAIT \xc3(\n", `the name "\xc3(" cannot be printed`},
		{"surrogate", "1 0 CHILD WAIT \xed\xa0\x80\n", `the name "\xed\xa0\x80" cannot be printed`},
		{"raw C1 in a kind", "1 0 \x9b2J WAIT\n", `unknown kind "\x9b2J"`},
		{"long and raw", "1 0 " + strings.Repeat("\x9b", 10_000) + " WAIT\n", `unknown kind "\x9b`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := output(t.Context(), "-tree", writeTree(t, test.text))
			if status != 1 || stdout != "" || !strings.Contains(stderr, test.want) {
				t.Errorf("status %d, stdout %q, stderr %q, want 1, none, %q", status, stdout, stderr, test.want)
			}
			if len(stderr) > 1500 || !isPrintable(strings.TrimSuffix(stderr, "\n")) {
				t.Errorf("the error is not fit for a terminal: %q", stderr)
			}
		})
	}
}

func childrenOf(parent, first, last int) string {
	var b strings.Builder
	for id := first; id <= last; id++ {
		fmt.Fprintf(&b, "%d %d CHILD WAIT\n", id, parent)
	}
	return b.String()
}

// TestLargestTrees checks that what is within the limits is drawn, in an output of a
// bounded size.
func TestLargestTrees(t *testing.T) {
	t.Parallel()
	name := " " + strings.Repeat("x", maxName)
	for title, text := range map[string]string{
		"deep": strings.ReplaceAll(chain(maxDepth), "\n", name+"\n") +
			strings.ReplaceAll(childrenOf(maxDepth-1, maxDepth+1, maxRequests), "\n", name+"\n"),
		"all work": "1 0 PARENT RUNNING\n" + strings.ReplaceAll(childrenOf(1, 2, maxRequests), "WAIT", "RUNNING work=ignores"+name),
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			for _, flag := range []string{"-v=false", "-v", "-svg"} {
				status, stdout, stderr := output(t.Context(), flag, "-tree", writeTree(t, text))
				if status != 0 || stderr != "" || len(stdout) > 2<<20 {
					t.Errorf("%s: status %d, stderr %q, %d bytes of output", flag, status, stderr, len(stdout))
				}
			}
		})
	}
}

// TestHostileArguments checks that what is not found or not understood is named in a way
// that does nothing to a terminal.
func TestHostileArguments(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "\x1b[31m\x9b\u202e")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "a.tree")
	if err := os.WriteFile(bad, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-tree", bad},
		{"-tree", dir},
		{"-tree", dir + "/none"},
		{"-\x1b[31m\x9b\u202e"},
		{"\x1b[31m\x9b\u202e"},
		{"-n", "\x1b[31m\x9b\u202e"},
	} {
		status, stdout, stderr := output(t.Context(), args...)
		if status == 0 || stdout != "" || !strings.Contains(stderr, `\x1b[31m\x9b\u202e`) {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, stdout, stderr)
		}
		for line := range strings.Lines(stderr) {
			if !isPrintable(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%q: the error is not fit for a terminal: %q", args, stderr)
			}
		}
	}
}
