package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what is recorded")

// output runs the program and returns its exit status and what it has written.
func output(ctx context.Context, args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	status = run(ctx, args, &out, &errs)
	return status, out.String(), errs.String()
}

func writeTree(t *testing.T, text string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "a.tree")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// recorded is what the program writes, by file.
var recorded = map[string][]string{
	"testdata/output.txt":  nil,
	"testdata/verbose.txt": {"-v"},
	"cancel.svg":           {"-svg"},
}

func TestOutput(t *testing.T) {
	t.Parallel()
	for golden, args := range recorded {
		t.Run(golden, func(t *testing.T) {
			t.Parallel()
			status, stdout, stderr := output(t.Context(), args...)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d, stderr %q", status, stderr)
			}
			if *update {
				if err := os.WriteFile(golden, []byte(stdout), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), stdout); diff != "" {
				t.Errorf("output differs from %s, which -update rewrites (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// TestSummaryFirst checks that the summary fits a terminal, and that -v begins with it.
func TestSummaryFirst(t *testing.T) {
	t.Parallel()
	_, summary, _ := output(t.Context())
	_, verbose, _ := output(t.Context(), "-v")
	if n := strings.Count(summary, "\n"); n > maxLines {
		t.Errorf("%d lines", n)
	}
	for line := range strings.Lines(summary) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("a line of %d characters: %s", n, line)
		}
	}
	common, _, ok := strings.Cut(summary, "\nMore: ")
	if !ok || !strings.HasPrefix(verbose, common+"\n1. ") {
		t.Errorf("-v begins with\n%.2000s\nwant the summary\n%s", verbose, common)
	}
}

func TestOwnTree(t *testing.T) {
	t.Parallel()
	file := writeTree(t, `
		3 2 CHILD             RUNNING     Mine
		2 1 SUBREQUEST_PARENT CANCELLING  Interrupted before
		1 0 PARENT            CANCELLING  Above
		4 1 CHILD             RUNNING     work=ignores Beside
	`)
	status, stdout, stderr := output(t.Context(), "-v", "-tree", file, "-cancel", "2")
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	_, end, _ := strings.Cut(stdout, "In the end.")
	end, _, _ = strings.Cut(end, "Each way to fail")
	for _, want := range []string{
		`1 Above +CANCELLING  waits for its children\n`,
		`2 Interrupted before +CANCELLED\n`,
		`3 Mine +CANCELLED\n`,
		`4 Beside +RUNNING\n`,
	} {
		if !regexp.MustCompile(want).MatchString(end) {
			t.Errorf("the tree in the end does not match %q:\n%s", want, end)
		}
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	malformed := writeTree(t, "# one\n1 0 PARENT RUNING\n")
	twoRoots := writeTree(t, "1 0 CHILD RUNNING\n2 0 CHILD RUNNING\n")
	tests := []struct {
		args   string
		status int
		stderr string
	}{
		{"-help", 0, ""},
		{"-n 0", 2, "-n must be positive"},
		{"-n -7", 2, "-n must be positive"},
		{"-n many", 2, "-n"},
		{"-n 5 -tree x", 2, "leave out the other flags"},
		{"-n 5 -cancel 1", 2, "leave out the other flags"},
		{"-n 5 -v", 2, "leave out the other flags"},
		{"-n 5 -svg", 2, "leave out the other flags"},
		{"-v -svg", 2, "-svg and -v exclude each other"},
		{"-cancel 0", 2, "-cancel must be positive"},
		{"-frobnicate", 2, "-frobnicate"},
		{"nightly.tree", 2, `unexpected argument "nightly.tree"`},
		{"-tree " + twoRoots, 2, "say which to -cancel"},
		{"-tree " + twoRoots + " -cancel 2", 0, ""},
		{"-tree " + malformed, 1, `a.tree:2: unknown state "RUNING"`},
		{"-tree " + filepath.Join(t.TempDir(), "none"), 1, "none"},
		{"-cancel 99", 1, "There is no request 99."},
		{"-cancel 11", 1, "in state SUCCEEDED"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			t.Parallel()
			status, _, stderr := output(t.Context(), strings.Fields(test.args)...)
			if status != test.status || !strings.Contains(stderr, strings.TrimSuffix(test.stderr, ".")) || test.stderr == "" && stderr != "" {
				t.Errorf("run(%s) = %d, stderr %q, want %d, %q", test.args, status, stderr, test.status, test.stderr)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	_, stdout, _ := output(t.Context(), "-help")
	for _, want := range []string{"-tree file", "-cancel id", "-n number", "-v", "-svg", "ID PARENT KIND STATE"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("-help lacks %q:\n%s", want, stdout)
		}
	}
}

func TestBig(t *testing.T) {
	t.Parallel()
	for n, want := range map[string]string{
		"1":    "1 requests: a root, 0 job sets, 0 steps",
		"2":    "2 requests: a root, 1 job sets, 0 steps",
		"3":    "3 requests: a root, 1 job sets, 1 steps",
		"2500": "2,500 requests: a root, 50 job sets, 2,449 steps",
	} {
		status, stdout, stderr := output(t.Context(), "-n", n)
		if status != 0 || stderr != "" {
			t.Fatalf("-n %s: status %d, stderr %q", n, status, stderr)
		}
		for _, want := range []string{want, "requests per second", "result     " + n + " cancelled; root CANCELLED"} {
			if !strings.Contains(stdout, want) {
				t.Errorf("-n %s: output lacks %q:\n%s", n, want, stdout)
			}
		}
	}
}

// An interruptedContext is done after its error has been asked for a number of
// times, which every call of the store does.
type interruptedContext struct {
	context.Context
	left atomic.Int64
}

func (c *interruptedContext) Err() error {
	if c.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	for after, want := range map[int64]string{
		0:  "interrupted: 0 requests are CANCELLED, 0 have not ended",      // before the first page is built
		2:  "interrupted: 0 requests are CANCELLED, 2,000 have not ended",  // while building
		12: "interrupted: 0 requests are CANCELLED, 10,000 have not ended", // after the root has been written
		13: "interrupted: [1-9],[0-9]{3} requests are CANCELLED, [1-9],[0-9]{3} have not ended",
	} {
		ctx := &interruptedContext{Context: t.Context()}
		ctx.left.Store(after)
		status, stdout, stderr := output(ctx, "-n", "10000")
		if status != 1 || stdout != "" || !regexp.MustCompile(want).MatchString(stderr) {
			t.Errorf("interrupted after %d calls: status %d, stdout %q, stderr %q, want 1, none, %q", after, status, stdout, stderr, want)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if status, _, stderr := output(ctx); status != 1 || !strings.Contains(stderr, "interrupted: 0 requests are CANCELLED, 12 have not ended") {
		t.Errorf("interrupted demo: status %d, stderr %q", status, stderr)
	}
}

func TestWriteError(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	_ = r.CloseWithError(errors.New("disk full"))
	var stderr bytes.Buffer
	if status := run(t.Context(), nil, w, &stderr); status != 1 || !strings.Contains(stderr.String(), "disk full") {
		t.Errorf("status %d, stderr %q", status, stderr.String())
	}
}
