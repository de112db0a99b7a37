package main

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// write writes what there is as tables in Markdown.
func (p *peers) write(w io.Writer) error {
	var b strings.Builder
	if len(p.times) > 0 {
		p.writeTimes(&b)
	}
	if len(p.shown) > 0 {
		p.writeShown(&b)
	}
	if len(p.escapes) > 0 {
		p.writeEscapes(&b)
	}
	if len(p.killings) > 0 {
		p.writeKillings(&b)
	}
	fmt.Fprintf(&b, "%s, %d processors", runtime.Version(), runtime.NumCPU())
	for _, m := range modules {
		fmt.Fprintf(&b, ", %s %s", m, versionOf(m))
	}
	b.WriteString(".\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// row writes a row of a table.
func row(b *strings.Builder, cells ...string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }

func head(b *strings.Builder, numbers bool, cells ...string) {
	row(b, cells...)
	align := "|---|"
	if numbers {
		align += strings.Repeat("--:|", len(cells)-1)
	} else {
		align += strings.Repeat("---|", len(cells)-1)
	}
	b.WriteString(align + "\n")
}

// baselines are what the others on stores like theirs are compared with.
var baselines = []string{"ess-postgres", "ess-sqlite"}

func baselineOf(e entrant) string {
	if e.needs == "postgres" {
		return baselines[0]
	}
	if e.needs == "" {
		return baselines[1]
	}
	return ""
}

func (p *peers) writeTimes(b *strings.Builder) {
	shapes := columns
	if p.short {
		shapes = shortShapes(columns)
	}
	header := []string{"system"}
	for _, s := range shapes {
		header = append(header, s.String())
	}
	head(b, true, header...)
	for _, e := range p.entrants() {
		cells := []string{e.title}
		for _, s := range shapes {
			cells = append(cells, p.timeCell(e, s))
		}
		row(b, cells...)
	}
	b.WriteString("\n")
}

// timeCell has the median, and the median of the ratios to the baseline of the same round.
func (p *peers) timeCell(e entrant, s shape) string {
	var times, ratios []float64
	base := baselineOf(e)
	for round, figures := range p.times[e.name] {
		f, ok := figures[s]
		if !ok {
			continue
		}
		if f.Failed != "" {
			return "not in " + p.limit.String()
		}
		times = append(times, f.Done.Seconds()*1000)
		if rounds := p.times[base]; round < len(rounds) && base != e.name {
			if g, ok := rounds[round][s]; ok && g.Failed == "" {
				ratios = append(ratios, f.Done.Seconds()/g.Done.Seconds())
			}
		}
	}
	switch {
	case len(times) == 0:
		return "–"
	case len(ratios) == 0:
		return digits(median(times)) + " ms"
	default:
		return fmt.Sprintf("%s ms (%s)", digits(median(times)), digits(median(ratios)))
	}
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	if n := len(all); n%2 == 0 {
		return (all[n/2-1] + all[n/2]) / 2
	}
	return all[len(all)/2]
}

// digits returns two significant digits, or all before the point.
func digits(x float64) string {
	switch {
	case x < 1:
		return fmt.Sprintf("%.2f", x)
	case x < 10:
		return fmt.Sprintf("%.1f", x)
	default:
		s := fmt.Sprintf("%.0f", x)
		if n := len(s); n > 3 {
			s = s[:n-3] + "," + s[n-3:]
		}
		return s
	}
}

func (v view) String() string {
	return fmt.Sprintf("parent %s, works: %s, waited: %s, finished: %s", v.Parent, v.Working, v.Waiting, v.Finished)
}

func (p *peers) writeShown(b *strings.Builder) {
	head(b, false, "system", "right after the call", "the work went on after its record had ended for", "and after that of the parent for", "in the end", "the same call then")
	for _, e := range p.entrants() {
		x, ok := p.shown[e.name]
		if !ok {
			continue
		}
		row(b, e.title, x.Call.String(), early(x.ChildEarly), early(x.ParentEarly), x.End.String(), cmp.Or(x.Again, "succeeds"))
	}
	b.WriteString("\n")
}

func early(d time.Duration) string {
	if d <= 0 {
		return "0"
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func (p *peers) writeEscapes(b *strings.Builder) {
	head(b, false, "system", "children that came after the cancel had begun", "children that are live in the end", "in the store")
	for _, e := range p.entrants() {
		if x, ok := p.escapes[e.name]; ok {
			row(b, e.title, fmt.Sprint(x.Meanwhile), fmt.Sprint(x.Escaped), x.Census)
		}
	}
	b.WriteString("\n")
}

func (p *peers) writeKillings(b *strings.Builder) {
	head(b, false, "system", "killed at", "left", "after a new process has opened the store", "after what is to be done")
	for _, e := range p.entrants() {
		for _, k := range p.killings[e.name] {
			row(b, e.title, fmt.Sprintf("%.0f %%", 100*k.At), k.Left.String(), k.Opened.String(), k.Again.String())
		}
	}
	b.WriteString("\n")
}

// versionOf returns the version of a module that this program is built with.
func versionOf(module string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == module {
				return m.Version
			}
		}
	}
	return "of unknown version"
}
