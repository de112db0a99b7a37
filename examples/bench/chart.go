package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The chart has up to four panels, in two columns.
const (
	panelWidth, panelHeight = 600.0, 360.0
	marginTop               = 56.0
	marginBottom            = 46.0
)

// The colours of the ways: alike in all panels.
const (
	gray   = "#8a8a8a"
	blue   = "#2f6fb3"
	orange = "#d9822b"
	green  = "#3c9a5f"
	red    = "#b8443e"
	violet = "#7a5ba6"
)

func colorOf(way string) string {
	switch {
	case strings.HasPrefix(way, threeMethods):
		return blue
	case strings.HasPrefix(way, oneStatement), strings.HasPrefix(way, means(true)), way == "lifecycle.Next":
		return orange
	case strings.HasPrefix(way, "row by row"):
		return red
	case strings.HasPrefix(way, "River"):
		return violet
	default:
		return gray
	}
}

// chart draws the results as SVG.
func (b *bench) chart() []byte {
	var panels []func(*canvas)
	for _, panel := range []func() func(*canvas){b.rulesPanel, b.ratioPanel, b.growthPanel, b.crowdPanel} {
		if draw := panel(); draw != nil {
			panels = append(panels, draw)
		}
	}
	var c canvas
	c.begin(2*panelWidth, panelHeight*float64((len(panels)+1)/2))
	for i, draw := range panels {
		fmt.Fprintf(&c, "<g transform=\"translate(%g,%g)\">\n", panelWidth*float64(i%2), panelHeight*float64(i/2))
		draw(&c)
		c.WriteString("</g>\n")
	}
	c.end()
	return []byte(c.String())
}

func (b *bench) find(name string) *result {
	for _, res := range b.results {
		if res.name == name {
			return res
		}
	}
	return nil
}

// rulesPanel has a bar for each way to decide.
func (b *bench) rulesPanel() func(*canvas) {
	res := b.find("rules")
	if res == nil {
		return nil
	}
	return func(c *canvas) {
		c.text(16, 24, "start", "title", "One decision by the rules")
		c.text(16, 42, "start", "small", "nanoseconds, logarithmic")
		var values []float64
		for _, r := range res.rows {
			values = append(values, r.perUnit())
		}
		x := logScale(append(values, 0.5), 220, panelWidth-70)
		height := (panelHeight - marginTop - marginBottom) / float64(len(values))
		for _, tick := range x.ticks() {
			c.line(x.at(tick), marginTop, x.at(tick), panelHeight-marginBottom, "grid")
			c.text(x.at(tick), panelHeight-marginBottom+16, "middle", "small", plain(tick))
		}
		for i, r := range res.rows {
			y := marginTop + height*float64(i)
			c.text(x.begin-8, y+height/2+4, "end", "", r.name)
			c.bar(x.begin, y+height*0.2, x.at(values[i])-x.begin, height*0.6, colorOf(r.name))
			c.text(x.at(values[i])+6, y+height/2+4, "start", "", duration(values[i]))
		}
	}
}

// ratioPanel has a row for each contest with a raw baseline, and a dot for each other way in
// it.
func (b *bench) ratioPanel() func(*canvas) {
	var list []*result
	values := []float64{1}
	for _, name := range []string{
		"memory/wide", "postgres/wide", "postgres/flat", "postgres/binary", "postgres/deep", "postgres/migrated", "postgres/durable",
		fmt.Sprintf("sqlite/%d", b.size.sqlite), fmt.Sprintf("etcd/%d", b.size.etcd),
	} {
		if res := b.find(name); res != nil {
			list = append(list, res)
			for _, r := range res.rows {
				mid, _, _ := r.ratio()
				values = append(values, mid)
			}
		}
	}
	if list == nil {
		return nil
	}
	return func(c *canvas) {
		c.text(16, 24, "start", "title", "Time for a tree, where the raw baseline takes 1")
		x := logScale(values, 170, panelWidth-24)
		at := 16.0
		for _, key := range []string{means(false), oneStatement, "row by row", "River"} {
			c.dot(at+5, 40, colorOf(key))
			text := strings.Replace(key, oneStatement, oneStatement+" / all capabilities", 1)
			c.text(at+14, 44, "start", "small", text)
			at += 30 + 6.2*float64(len(text))
		}
		for _, tick := range x.ticks() {
			class := "grid"
			if tick == 1 {
				class = "axis"
			}
			c.line(x.at(tick), marginTop, x.at(tick), panelHeight-marginBottom, class)
			c.text(x.at(tick), panelHeight-marginBottom+16, "middle", "small", plain(tick))
		}
		height := (panelHeight - marginTop - marginBottom) / float64(len(list))
		for i, res := range list {
			y := marginTop + height*(float64(i)+0.5)
			store, what, _ := strings.Cut(res.name, "/")
			c.text(x.begin-8, y+4, "end", "", strings.TrimSpace(map[string]string{"memory": "memory", "postgres": "PostgreSQL", "sqlite": "SQLite", "etcd": "etcd"}[store]+" "+strings.TrimLeft(what, "0123456789")))
			for _, r := range res.rows {
				if color := colorOf(r.name); color != gray {
					mid, _, _ := r.ratio()
					c.dot(x.at(mid), y, color)
				}
			}
		}
	}
}

// A curve is one line of a panel.
type curve struct {
	name, color string
	points      [][2]float64
}

// growthPanel shows the time for a request over the size of the tree.
func (b *bench) growthPanel() func(*canvas) {
	var curves []curve
	for _, line := range []struct{ store, way, name, color string }{
		{"memory", "context", "context", gray},
		{"memory", "all capabilities", "memory, all capabilities", orange},
		{"memory", "three methods", "memory, three methods", blue},
		{"postgres", rawWay, "PostgreSQL, raw", gray},
		{"postgres", threeMethods, "PostgreSQL, three methods", blue},
		{"postgres", oneStatement, "PostgreSQL, CancelChildren", orange},
		{"sqlite", oneStatement, "SQLite, CancelChildren", green},
		{"etcd", threeMethods, "etcd, three methods", red},
	} {
		found := curve{name: line.name, color: line.color}
		for _, res := range b.results {
			store, what, _ := strings.Cut(res.name, "/")
			if store != line.store || what != "wide" && strings.Trim(what, "0123456789") != "" {
				continue
			}
			for _, r := range res.rows {
				if r.name == line.way || r.name == paged(line.way, defaultPage) {
					found.points = append(found.points, [2]float64{float64(r.work), r.perUnit() / 1e3})
				}
			}
		}
		if len(found.points) > 1 {
			slices.SortFunc(found.points, func(p, q [2]float64) int { return cmp.Compare(p[0], q[0]) })
			curves = append(curves, found)
		}
	}
	return curvesPanel("Time for a request, by the size of the tree", "µs for a request, logarithmic, over requests in the tree", curves, logScale)
}

// crowdPanel shows how many requests are cancelled in a second by how many cancellers.
func (b *bench) crowdPanel() func(*canvas) {
	var curves []curve
	for _, line := range []struct{ contest, name, color string }{
		{"memory/cancellers", "memory", green},
		{"postgres/cancellers/all", "PostgreSQL, CancelChildren", orange},
		{"postgres/cancellers/three", "PostgreSQL, three methods", blue},
	} {
		if res := b.find(line.contest); res != nil {
			c := curve{name: line.name, color: line.color}
			for i, r := range res.rows {
				mid, _, _ := r.ratio()
				c.points = append(c.points, [2]float64{float64(b.size.crowds[i]), 1 / mid})
			}
			curves = append(curves, c)
		}
	}
	return curvesPanel("Requests in a second, where one canceller has 1", "over cancellers at once, each of trees of its own", curves, linearScale)
}

// curvesPanel draws curves over a logarithmic axis. Each has its name at its end.
func curvesPanel(title, subtitle string, curves []curve, scaleOf func([]float64, float64, float64) scale) func(*canvas) {
	if len(curves) == 0 {
		return nil
	}
	var xs, ys []float64
	for _, line := range curves {
		for _, p := range line.points {
			xs, ys = append(xs, p[0]), append(ys, p[1])
		}
	}
	return func(c *canvas) {
		c.text(16, 24, "start", "title", title)
		c.text(16, 42, "start", "small", subtitle)
		x := logScale(xs, 56, panelWidth-190)
		x.low, x.high = slices.Min(xs), slices.Max(xs)
		y := scaleOf(ys, panelHeight-marginBottom, marginTop)
		for _, tick := range y.ticks() {
			c.line(x.begin, y.at(tick), x.end, y.at(tick), "grid")
			c.text(x.begin-6, y.at(tick)+4, "end", "small", plain(tick))
		}
		shown := map[string]bool{}
		for _, v := range xs {
			// Trees have a few requests more than a round number.
			digits := len(fmt.Sprint(int(v)))
			label := plain(v)
			if digits > 3 {
				label = "1e" + fmt.Sprint(digits-1)
			}
			if !shown[label] && (digits < 4 || v < 2*float64(pow10(digits-1)) && v >= float64(pow10(digits-1))) {
				c.text(x.at(v), panelHeight-marginBottom+16, "middle", "small", label)
				shown[label] = true
			}
		}
		c.line(x.begin, panelHeight-marginBottom, x.end, panelHeight-marginBottom, "axis")
		type label struct {
			y, x float64
			curve
		}
		var labels []label
		for _, line := range curves {
			var points [][2]float64
			for _, p := range line.points {
				points = append(points, [2]float64{x.at(p[0]), y.at(p[1])})
			}
			c.path(points, line.color)
			end := points[len(points)-1]
			labels = append(labels, label{end[1], end[0], line})
		}
		slices.SortFunc(labels, func(p, q label) int { return cmp.Compare(p.y, q.y) })
		last := 0.0
		for _, l := range labels {
			at := max(l.y, last+14)
			last = at
			fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="2 2"/>`+"\n", l.x+2, l.y, x.end+12, at, l.color)
			c.text(x.end+15, at+4, "start", "small", l.name)
		}
	}
}

func pow10(n int) int {
	p := 1
	for range n {
		p *= 10
	}
	return p
}
