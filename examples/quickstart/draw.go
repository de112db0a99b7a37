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

	"example.com/ess/lifecycle"
)

// A screen is where the program writes.
type screen struct {
	w     *bufio.Writer
	color bool
	live  bool // whether what is drawn can be drawn over
	drawn int  // how many lines of it are on the screen
	step  int  // the last step announced
}

func newScreen(w io.Writer) *screen {
	live := terminal(w, os.Getenv)
	return &screen{w: bufio.NewWriter(w), live: live, color: live && os.Getenv("NO_COLOR") == ""} // see no-color.org
}

// terminal reports whether w is a terminal that understands escape sequences.
func terminal(w io.Writer, getenv func(string) string) bool {
	return isTerminal(w) && getenv("TERM") != "dumb"
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

// redraw draws lines over those that it drew before. The terminal does not break
// lines meanwhile, or it would be unknown how many there are.
func (s *screen) redraw(lines string) {
	s.printf("\x1b[?7l")
	if s.drawn > 0 {
		s.printf("\x1b[%dA", s.drawn)
	}
	for line := range strings.Lines(lines) {
		s.printf("\x1b[K%s", line)
	}
	s.printf("\x1b[?7h")
	s.drawn = strings.Count(lines, "\n")
	_ = s.w.Flush() // an error stays in s.w
}

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

// table returns rows of cells in columns, and states in their colors.
func (s *screen) table(rows [][]string) string {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			var state lifecycle.State
			_ = state.UnmarshalText([]byte(cell)) // most cells are no state
			line.WriteString("  ")
			line.WriteString(s.paint(colorOf(state), cell))
			line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		fmt.Fprintf(&b, " %s\n", strings.TrimRight(line.String(), " "))
	}
	return b.String()
}

// A row is a request in a tree that is drawn.
type row struct {
	lifecycle.Request
	depth  int
	branch string // the lines that lead to it
	last   bool   // among the children of its parent
}

// layout returns the requests as a tree is drawn: children below their parents.
func layout(requests []lifecycle.Request) []row {
	below := map[lifecycle.ID][]lifecycle.Request{}
	for _, r := range requests {
		below[r.Parent] = append(below[r.Parent], r)
	}
	var rows []row
	var add func(parent lifecycle.ID, depth int, indent string)
	add = func(parent lifecycle.ID, depth int, indent string) {
		level := below[parent]
		slices.SortFunc(level, func(a, b lifecycle.Request) int { return cmp.Compare(a.ID, b.ID) })
		for i, r := range level {
			last := i == len(level)-1
			branch, beyond := "├─ ", "│  "
			switch {
			case parent == 0:
				branch, beyond = "", ""
			case last:
				branch, beyond = "└─ ", "   "
			}
			rows = append(rows, row{r, depth, indent + branch, last})
			add(r.ID, depth+1, indent+beyond)
		}
	}
	add(0, 0, "")
	return rows
}

// grouped returns n with its digits in groups, such as "1,000,000".
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
