package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// writeTable writes the results as one table in Markdown, what it was measured on, and
// which targets were missed.
func (b *bench) writeTable(to io.Writer) error {
	w := bufio.NewWriter(to)
	fmt.Fprintln(w, "| way | requests | time | per request | requests/s | round trips | extra heap | allocations/request | rows locked | of baseline | target |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|")
	var missed []string
	met := 0
	for _, res := range b.results {
		fmt.Fprintf(w, "| **%s** | | | | | | | | | | |\n", res.title)
		for i, r := range res.rows {
			var goals []string
			for _, g := range r.goals {
				verdict := "met"
				switch {
				case b.size.quick:
					verdict = "too small to say"
				case g.met(r):
					met++
				default:
					verdict = "**missed**"
					missed = append(missed, fmt.Sprintf("%s, %s: %s", res.title, r.name, g.text))
				}
				goals = append(goals, g.text+": "+verdict)
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", r.name,
				thousands(int64(r.work)), r.timeText(), duration(r.perUnit()), figure(1e9/r.perUnit()),
				orDash(r.seen.trips), r.heapText(), fixed(r.seen.allocs), orDash(int64(r.seen.locked)), r.ratioText(i == 0), strings.Join(goals, "; "))
		}
	}
	if !b.size.quick {
		fmt.Fprintf(w, "\nTargets: %d met, %d missed.\n", met, len(missed))
	}
	for _, m := range missed {
		fmt.Fprintln(w, "- missed:", m)
	}
	fmt.Fprintf(w, "\nMeasured on: %s.\n", strings.Join(append(machine(), b.notes...), ", "))
	return w.Flush()
}

// million is what work that was bounded is extrapolated to.
const million = 1e6

func (r *row) timeText() string {
	if !r.bounded {
		return duration(float64(r.time()))
	}
	return fmt.Sprintf("%s (a million: %s)", duration(float64(r.time())), duration(r.perUnit()*million))
}

func (r *row) heapText() string {
	if r.once {
		return "–"
	}
	return megabytes(r.seen.heap)
}

func (r *row) ratioText(baseline bool) string {
	if baseline {
		return "1"
	}
	mid, low, high := r.ratio()
	if len(r.ns) == 1 {
		return figure(mid)
	}
	return fmt.Sprintf("%s (%s–%s)", figure(mid), figure(low), figure(high))
}

// machine says what this runs on.
func machine() []string {
	name := runtime.GOARCH
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				name = strings.TrimSpace(value)
				break
			}
		}
	}
	return []string{fmt.Sprintf("%d cores of %s", runtime.NumCPU(), name), strings.Replace(runtime.Version(), "go", "Go ", 1)}
}

// thousands writes n as 1,234,567.
func thousands(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// figure writes x with two or three significant digits.
func figure(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x >= 1000:
		unit := math.Pow10(int(math.Log10(x)) - 2)
		return thousands(int64(math.Round(x/unit) * unit))
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	case x >= 0.1:
		return strconv.FormatFloat(x, 'f', 2, 64)
	default:
		return strconv.FormatFloat(x, 'g', 2, 64)
	}
}

// fixed writes x with two decimals at most.
func fixed(x float64) string {
	if x >= 0.1 {
		return figure(x)
	}
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

func duration(ns float64) string {
	switch {
	case ns < 1e3:
		return figure(ns) + " ns"
	case ns < 1e6:
		return figure(ns/1e3) + " µs"
	case ns < 1e9:
		return figure(ns/1e6) + " ms"
	case ns < 120*float64(time.Second):
		return figure(ns/1e9) + " s"
	default:
		return figure(ns/float64(time.Minute)) + " min"
	}
}

func megabytes(n float64) string {
	switch {
	case n < 5e4:
		return "<0.1 MB"
	default:
		return strconv.FormatFloat(n/1e6, 'f', 1, 64) + " MB"
	}
}

func orDash(n int64) string {
	if n == 0 {
		return "–"
	}
	return thousands(n)
}
