package main

import (
	"encoding/xml"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
)

// TestPicture checks that the picture is well-formed whatever the names are, says in
// words what it shows, and loads nothing.
func TestPicture(t *testing.T) {
	t.Parallel()
	const name = `<b>&amp; "Q" 'A' ]]>`
	file := writeTree(t, "1 0 PARENT RUNNING "+name+"\n2 1 CHILD WAIT\n3 1 CHILD RUNNING work=fails\n")
	status, svg, stderr := output(t.Context(), "-svg", "-tree", file)
	if status != 0 || stderr != "" {
		t.Fatalf("status %d, stderr %q", status, stderr)
	}
	texts := map[string]string{} // by element
	var inside []string
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inside = append(inside, token.Name.Local)
			for _, a := range token.Attr {
				if a.Name.Local == "href" || a.Name.Local == "src" {
					t.Errorf("the picture loads %s", a.Value)
				}
			}
		case xml.EndElement:
			inside = inside[:len(inside)-1]
		case xml.CharData:
			if len(inside) > 0 {
				texts[inside[len(inside)-1]] += string(token)
			}
		}
	}
	for element, want := range map[string]string{
		"title": "Ann cancels 1 " + name,
		"desc":  "1 " + name + ": RUNNING before, CANCELLING right after, CANCELLED in the end.",
		"text":  "1 " + name,
		"style": "@media (prefers-color-scheme: dark)",
	} {
		if !strings.Contains(texts[element], want) {
			t.Errorf("<%s> is %q, without %q", element, texts[element], want)
		}
	}
	for _, word := range []string{"url(", "@import", "@font-face"} {
		if strings.Contains(texts["style"], word) {
			t.Errorf("the style sheet loads something: %s", word)
		}
	}
}

// TestContrast checks that every text can be read on its background: WCAG 2.2 asks for a
// contrast of 4.5.
func TestContrast(t *testing.T) {
	t.Parallel()
	for _, l := range looks {
		for mode, s := range map[string]shade{"light": l.light, "dark": l.dark} {
			fill, ink := luminance(t, s.fill), luminance(t, s.ink)
			if ratio := (max(fill, ink) + 0.05) / (min(fill, ink) + 0.05); ratio < 4.5 {
				t.Errorf("%s, %s: the contrast is %.2f", l.class, mode, ratio)
			}
		}
	}
}

// luminance returns the relative luminance of a color such as "#d1d7de".
func luminance(t *testing.T, color string) float64 {
	t.Helper()
	rgb, err := strconv.ParseUint(strings.TrimPrefix(color, "#"), 16, 24)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(rgb>>(8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
