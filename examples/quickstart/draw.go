package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// A screen is where the program writes.
type screen struct {
	w     *bufio.Writer
	color bool
	step  int // the last step announced
}

func newScreen(w io.Writer) *screen {
	return &screen{w: bufio.NewWriter(w), color: colored(w, os.Getenv)}
}

// colored reports whether to write to w in color: to a terminal that has some,
// unless the user does not want it (see no-color.org).
func colored(w io.Writer, getenv func(string) string) bool {
	return isTerminal(w) && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printf writes like fmt.Printf. An error stays in s.w for Flush to return.
func (s *screen) printf(format string, args ...any) { _, _ = fmt.Fprintf(s.w, format, args...) }

// announce begins a step of the demonstration.
func (s *screen) announce(format string, args ...any) {
	s.step++
	if s.step > 1 {
		s.printf("\n")
	}
	s.printf("%s\n\n", s.paint(bold, fmt.Sprintf("%d. "+format, append([]any{s.step}, args...)...)))
}

// The numbers are those of ANSI escape sequences.
const (
	bold   = 1
	dim    = 2
	red    = 31
	green  = 32
	yellow = 33
	cyan   = 36
)

func (s *screen) paint(color int, text string) string {
	if !s.color || color == 0 {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", color, text)
}

func colorOf(state lifecycle.State) int {
	switch state {
	case lifecycle.StateRunning, lifecycle.StateCompleted:
		return cyan
	case lifecycle.StateCancelling, lifecycle.StateWarning:
		return yellow
	case lifecycle.StateSucceeded, lifecycle.StateFinished:
		return green
	case lifecycle.StateError, lifecycle.StateExpired, lifecycle.StateValidationFailed:
		return red
	case lifecycle.StateCancelled:
		return dim
	default: // nothing has happened to it
		return 0
	}
}

// table writes rows of cells in columns, and states in their colors.
func (s *screen) table(rows [][]string) {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			var state lifecycle.State
			_ = state.UnmarshalText([]byte(cell)) // most cells are no state
			line.WriteString("  ")
			line.WriteString(s.paint(colorOf(state), cell))
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		s.printf(" %s\n", strings.TrimRight(line.String(), " "))
	}
}

// tree draws the requests in repo, each with a label and a remark.
func (s *screen) tree(repo *memrepo.Repo, label func(lifecycle.ID) string, remark func(lifecycle.Request) string) {
	children := map[lifecycle.ID][]lifecycle.Request{}
	for r := range repo.All() {
		children[r.Parent] = append(children[r.Parent], r)
	}
	var rows [][]string
	var draw func(parent lifecycle.ID, indent string)
	draw = func(parent lifecycle.ID, indent string) {
		level := children[parent]
		slices.SortFunc(level, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
		for i, r := range level {
			branch, below := "├─ ", "│  "
			switch {
			case parent == 0:
				branch, below = "", ""
			case i == len(level)-1:
				branch, below = "└─ ", "   "
			}
			rows = append(rows, []string{indent + branch + label(r.ID), r.State.String(), remark(r)})
			draw(r.ID, indent+below)
		}
	}
	draw(0, "")
	s.table(rows)
}

// grouped returns n with its digits in groups, such as "1,000,000".
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
