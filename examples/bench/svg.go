package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// A canvas is an SVG document that is being drawn.
type canvas struct{ strings.Builder }

const style = `
text { font: 12px sans-serif; fill: #333 }
.title { font-size: 14px; font-weight: bold; fill: #111 }
.small { font-size: 11px; fill: #666 }
.grid { stroke: #e4e4e4 }
.axis { stroke: #999 }
.line { fill: none; stroke-width: 2 }
`

func (c *canvas) begin(width, height float64) {
	fmt.Fprintf(c, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g">`+"\n", width, height, width, height)
	fmt.Fprintf(c, "<style>%s</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", style)
}

func (c *canvas) end() { c.WriteString("</svg>\n") }

func (c *canvas) text(x, y float64, anchor, class, text string) {
	fmt.Fprintf(c, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, html.EscapeString(text))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(c, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

func (c *canvas) bar(x, y, width, height float64, color string) {
	fmt.Fprintf(c, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n", x, y, max(width, 1), height, color)
}

func (c *canvas) dot(x, y float64, color string) {
	fmt.Fprintf(c, `<circle cx="%.1f" cy="%.1f" r="5" fill="%s" fill-opacity="0.85"/>`+"\n", x, y, color)
}

func (c *canvas) path(points [][2]float64, color string) {
	var at []string
	for _, p := range points {
		at = append(at, fmt.Sprintf("%.1f,%.1f", p[0], p[1]))
	}
	fmt.Fprintf(c, `<polyline points="%s" class="line" stroke="%s"/>`+"\n", strings.Join(at, " "), color)
}

// A scale maps values to pixels.
type scale struct {
	log        bool
	low, high  float64 // values
	begin, end float64 // pixels
}

// logScale returns a scale for values that differ by orders of magnitude, which begins
// and ends at a tick.
func logScale(values []float64, begin, end float64) scale {
	s := scale{log: true, low: slices.Min(values), high: slices.Max(values), begin: begin, end: end}
	low, high := 0.0, math.Inf(1)
	for exp := -12.0; exp <= 12; exp++ {
		for _, digit := range []float64{1, 2, 5} {
			v := digit * math.Pow(10, exp)
			if v <= s.low*0.999 {
				low = v
			}
			if v >= s.high*1.001 {
				high = min(high, v)
			}
		}
	}
	s.low, s.high = low, high
	return s
}

// linearScale returns a scale from 0 on.
func linearScale(values []float64, begin, end float64) scale {
	return scale{high: slices.Max(values) * 1.15, begin: begin, end: end}
}

func (s scale) at(v float64) float64 {
	part := (v - s.low) / (s.high - s.low)
	if s.log {
		part = math.Log(v/s.low) / math.Log(s.high/s.low)
	}
	return s.begin + part*(s.end-s.begin)
}

// ticks returns values at which to draw a line: not too many.
func (s scale) ticks() (at []float64) {
	if !s.log {
		step := math.Pow(10, math.Floor(math.Log10(s.high)))
		for s.high/step < 4 {
			step /= 2
		}
		for v := 0.0; v <= s.high; v += step {
			at = append(at, v)
		}
		return at
	}
	digits := []float64{1}
	if s.high/s.low <= 1100 {
		digits = []float64{1, 2, 5}
	}
	for exp := -12.0; exp <= 12; exp++ {
		for _, digit := range digits {
			if v := digit * math.Pow(10, exp); v >= s.low*0.999 && v <= s.high*1.001 {
				at = append(at, v)
			}
		}
	}
	return at
}

// plain writes a number at a tick.
func plain(v float64) string {
	if v >= 1000 {
		return thousands(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
