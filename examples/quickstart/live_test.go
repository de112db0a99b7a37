package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/ess/cancel/memrepo"
)

// A terminal shows what is written to it, as long as that is lines and the few escape
// sequences that the program uses. It keeps what it showed before each time that it was
// drawn over.
type fakeTerminal struct {
	lines  []string
	at     int // the line of the cursor
	wraps  bool
	frames []string
	err    error
}

var sequence = regexp.MustCompile(`^\x1b\[(\?7[lh]|[0-9]*[AKm])`)

func (f *fakeTerminal) Write(text []byte) (int, error) {
	for rest := string(text); rest != ""; {
		if s := sequence.FindString(rest); s != "" {
			rest = rest[len(s):]
			f.escape(s)
			continue
		}
		if f.at == len(f.lines) {
			f.lines = append(f.lines, "")
		}
		c := rest[0]
		rest = rest[1:]
		switch {
		case c == '\n':
			f.at++
		case c < ' ':
			f.err = fmt.Errorf("unknown control character in %q", text)
		default:
			f.lines[f.at] += string([]byte{c})
		}
	}
	return len(text), nil
}

func (f *fakeTerminal) escape(s string) {
	n := 0
	switch {
	case s == "\x1b[K" && f.at < len(f.lines):
		f.lines[f.at] = "" // the cursor is at its beginning
	case s == "\x1b[?7h", s == "\x1b[?7l":
		f.wraps = s[len(s)-1] == 'h'
	case strings.HasSuffix(s, "A"):
		_, _ = fmt.Sscanf(s, "\x1b[%dA", &n)
		f.frames = append(f.frames, f.text())
		f.at -= n
		if f.wraps {
			f.err = fmt.Errorf("lines may have been broken when the cursor goes up %d", n)
		}
	}
}

func (f *fakeTerminal) text() string { return strings.Join(f.lines, "\n") + "\n" }

// play runs the program on a terminal and returns its error, and how long it took.
func play(ctx context.Context, f *fakeTerminal, args ...string) (time.Duration, error) {
	f.wraps = true
	out := &screen{w: bufio.NewWriter(f), live: true, color: true}
	begun := time.Now()
	err := show(ctx, args, new(memrepo.Repo), out, new(bytes.Buffer))
	_ = out.w.Flush()
	return time.Since(begun), err
}

// TestLive checks that the tree is redrawn while the work answers, and that in the end
// the terminal shows what is written where there is none.
func TestLive(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{nil, {"-v"}} {
		synctest.Test(t, func(t *testing.T) {
			var f fakeTerminal
			took, err := play(t.Context(), &f, args...)
			if err != nil || f.err != nil {
				t.Fatal(err, f.err)
			}
			_, want, _ := output(t.Context(), args...)
			if diff := cmp.Diff(want, f.text()); diff != "" || !f.wraps {
				t.Errorf("the terminal breaks lines: %v; in the end it differs from plain output (-want +got):\n%s", f.wraps, diff)
			}
			// Before, right after, four answers and a force.
			if len(f.frames) != 7 || took != 7*pause {
				t.Errorf("%d frames in %v", len(f.frames), took)
			}
			for i, want := range []string{"RUNNING\n", "RUNNING           CANCELLING   CANCELLING\n"} {
				if row := "├─ 10 General ledger      " + want; !strings.Contains(f.frames[i], row) {
					t.Errorf("frame %d has no row %q:\n%s", i, row, f.frames[i])
				}
			}
			for i, frame := range f.frames {
				if i > 0 && frame == f.frames[i-1] {
					t.Errorf("frame %d is the one before:\n%s", i, frame)
				}
			}
		})
	}
}

// TestLiveTall checks that a tree that may not fit the terminal is drawn once.
func TestLiveTall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for n, live := range map[int]bool{20: true, 21: false} {
			var text strings.Builder
			text.WriteString("1 0 PARENT RUNNING\n")
			for id := 2; id <= n; id++ {
				fmt.Fprintf(&text, "%d 1 CHILD WAIT\n", id)
			}
			var f fakeTerminal
			if _, err := play(t.Context(), &f, "-tree", writeTree(t, text.String())); err != nil || f.err != nil {
				t.Fatal(err, f.err)
			}
			if got := len(f.frames) > 0; got != live {
				t.Errorf("a tree of %d requests is redrawn: %v, want %v", n, got, live)
			}
		}
	})
}

func TestLiveInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 2*pause+pause/2)
		defer stop()
		var f fakeTerminal
		took, err := play(ctx, &f)
		if err == nil || took != 2*pause+pause/2 || !f.wraps {
			t.Errorf("interrupted: %v after %v, the terminal breaks lines: %v", err, took, f.wraps)
		}
	})
}
