package main

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"

	"example.com/ess/lifecycle"
)

// A shade is a background and the color of the text on it.
type shade struct{ fill, ink string }

// A look is how something is drawn on a light and on a dark page. Its class is that
// of the style sheet.
type look struct {
	class       string
	light, dark shade
}

var looks = []look{
	{"page", shade{"#ffffff", "#1f2328"}, shade{"#0d1117", "#f0f6fc"}},
	{"note", shade{"#ffffff", "#59636e"}, shade{"#0d1117", "#9198a1"}},
	{"idle", shade{"#eaeef2", "#3d444d"}, shade{"#262c36", "#d1d7e0"}},
	{"runs", shade{"#d5edff", "#0a4f9e"}, shade{"#0c2d6b", "#a5d6ff"}},
	{"asks", shade{"#ffefb3", "#6f4400"}, shade{"#5a3a00", "#ffe08a"}},
	{"gone", shade{"#d1d7de", "#25292e"}, shade{"#3b434d", "#f0f6fc"}},
	{"good", shade{"#d3f8d9", "#0f5c27"}, shade{"#0b4221", "#85e89d"}},
	{"fail", shade{"#ffe3e0", "#9c0d23"}, shade{"#67121c", "#ffd0cb"}},
}

// lookOf returns the class of a state: the picture has the colors of the terminal.
func lookOf(state lifecycle.State) string {
	switch colorOf(state) {
	case cyan:
		return "runs"
	case yellow:
		return "asks"
	case green:
		return "good"
	case red:
		return "fail"
	case dim:
		return "gone"
	default:
		return "idle"
	}
}

// style returns the style sheet. It names fonts that the reader's machine has, and
// follows what the reader has chosen there, light or dark.
func style() string {
	var light, dark strings.Builder
	for _, l := range looks {
		fmt.Fprintf(&light, "rect.%[1]s { fill: %[2]s } text.%[1]s { fill: %[3]s }\n", l.class, l.light.fill, l.light.ink)
		fmt.Fprintf(&dark, "rect.%[1]s { fill: %[2]s } text.%[1]s { fill: %[3]s }\n", l.class, l.dark.fill, l.dark.ink)
	}
	return `text { font: 14px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif }
text.title { font-weight: 600 }
text.head { text-anchor: middle }
text.state { font: 600 11px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; text-anchor: middle }
path { fill: none; stroke: #8c959f }
` + light.String() + "@media (prefers-color-scheme: dark) {\npath { stroke: #768390 }\n" + dark.String() + "}\n"
}

// Sizes in pixels. All are whole numbers, so that every machine draws the same.
const (
	margin   = 20
	lineHigh = 27
	indent   = 22
	gap      = 24 // between columns
)

// labelWidth and stateWidth return how wide a text is at most in usual fonts, the
// latter with the background around it.

func labelWidth(text string) int { return utf8.RuneCountInString(text) * 15 / 2 }

func stateWidth(s lifecycle.State) int { return len(s.String())*27/4 + 16 }

// A line is a request with what the picture says of it.
type line struct {
	row
	label  string
	states [3]lifecycle.State // before, right after, and in the end
	remark string
}

func (c *course) lines() []line {
	after, now, work := byID(c.after), byID(c.now), c.work()
	var lines []line
	for _, r := range layout(c.before) {
		lines = append(lines, line{
			row:    r,
			label:  c.label(r.ID),
			states: [3]lifecycle.State{r.State, after[r.ID].State, now[r.ID].State},
			remark: remark(r.Request, after[r.ID], work[r.ID]),
		})
	}
	return lines
}

// A picture is an SVG document that is being drawn.
type picture struct {
	b strings.Builder
	// Where the columns are: the middles of the states, and the left of the remarks.
	states  [3]int
	remarks int
}

// svg returns the course as a picture.
func (c *course) svg() string {
	var p picture
	lines, title := c.lines(), "Ann cancels "+c.label(c.root)
	width := p.measure(title, lines)
	height := 2*margin + lineHigh*(len(lines)+1)

	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d" role="img" aria-labelledby="title desc">`, width, height)
	p.printf(`<title id="title">%s: each request of the tree before, right after, and in the end</title>`, html.EscapeString(title))
	p.printf(`<desc id="desc">`)
	for _, l := range lines {
		p.printf("%s: %v before, %v right after, %v in the end.", html.EscapeString(l.label), l.states[0], l.states[1], l.states[2])
	}
	p.printf("</desc>\n<style>\n%s</style>", style())
	p.printf(`<rect width="100%%" height="100%%" rx="8" class="page"/>`)

	y := margin + lineHigh/2
	p.text(margin, y, "title page", title)
	for i, head := range []string{"before", "right after", "in the end"} {
		p.text(p.states[i], y, "head note", head)
	}
	var above []int // the y of the last line on each level
	for i, l := range lines {
		y := margin + lineHigh*(i+1) + lineHigh*2/3
		above = append(above[:l.depth], y)
		p.line(y, l, above)
	}
	p.printf("</svg>")
	return p.b.String()
}

// measure puts the columns in their places and returns the width of the picture.
func (p *picture) measure(title string, lines []line) int {
	labels, remarks := labelWidth(title), 0
	states := [3]int{80, 80, 80} // as wide as the heads at least
	for _, l := range lines {
		labels = max(labels, indent*l.depth+labelWidth(l.label))
		remarks = max(remarks, labelWidth(l.remark))
		for i, s := range l.states {
			states[i] = max(states[i], stateWidth(s))
		}
	}
	x := margin + labels
	for i, width := range states {
		p.states[i] = x + gap + width/2
		x += gap + width
	}
	p.remarks = x + gap
	return p.remarks + remarks + margin
}

func (p *picture) printf(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

func (p *picture) text(x, y int, class, text string) {
	p.printf(`<text x="%d" y="%d" class="%s">%s</text>`, x, y, class, html.EscapeString(text))
}

// line draws a line at y. Above are the y of the lines that it is below, and y.
func (p *picture) line(y int, l line, above []int) {
	x := margin + indent*l.depth
	if l.depth > 0 {
		p.printf(`<path d="M%d.5 %d.5h10"/>`, x-16, y-5)
	}
	if l.depth > 0 && l.last {
		p.printf(`<path d="M%d.5 %d.5V%d.5"/>`, x-16, above[l.depth-1]+5, y-5)
	}
	p.text(x, y, "page", l.label)
	for i, s := range l.states {
		class, width := lookOf(s), stateWidth(s)
		left := p.states[i] - width/2
		switch {
		case i > 0 && s == l.states[i-1]:
			class = "note" // nothing has happened: no arrow, and no background
		case i > 0:
			p.printf(`<path d="M%d %d.5h12m-4 -4l4 4l-4 4"/>`, left-18, y-5)
			fallthrough
		default:
			p.printf(`<rect x="%d" y="%d" width="%d" height="20" rx="5" class="%s"/>`, left, y-15, width, class)
		}
		p.text(p.states[i], y-1, "state "+class, s.String())
	}
	p.text(p.remarks, y, "note", l.remark)
}

// remark says why a request has ended as it has.
func remark(r, after lifecycle.Request, work string) string {
	switch {
	case lifecycle.Terminal.Has(r.State):
		return "had ended before"
	case work == "forced":
		return "never answers: is forced"
	case work == "finished":
		return "finishes all the same"
	case work == "failed":
		return "fails on the way"
	case work == "stopped" && r.Kind.HasChildren():
		return "stops, ends after its children"
	case work == "stopped":
		return "stops"
	case after.State == lifecycle.StateCancelling:
		return "ends after its last child"
	case lifecycle.Terminal.Has(after.State):
		return "ends at once"
	default:
		return "" // not below the request that was cancelled
	}
}

func byID(requests []lifecycle.Request) map[lifecycle.ID]lifecycle.Request {
	m := make(map[lifecycle.ID]lifecycle.Request, len(requests))
	for _, r := range requests {
		m[r.ID] = r
	}
	return m
}
