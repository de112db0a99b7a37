package examples_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	code = regexp.MustCompile("(?s)```.*?```|`[^`]*`")
)

// TestLinks checks that what the READMEs link to in this repository is there: a file, or
// a heading of their own.
func TestLinks(t *testing.T) {
	t.Parallel()
	readmes, err := filepath.Glob("*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, readme := range append(readmes, "../README.md", "../.github/CONTRIBUTING.md") {
		text := read(t, readme)
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(text, ""), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			n++
			path, heading, _ := strings.Cut(m[1], "#")
			switch {
			case path == "" && !hasHeading(text, heading):
				t.Errorf("%s has no heading for the link to #%s", readme, heading)
			case path != "":
				if _, err := os.Stat(filepath.Join(filepath.Dir(readme), path)); err != nil {
					t.Errorf("%s links to %s: %v", readme, m[1], err)
				}
			}
		}
	}
	if n < 20 {
		t.Errorf("only %d links found", n)
	}
}

// hasHeading reports whether text has a heading that is linked to by that name.
func hasHeading(text, name string) bool {
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !ok || !strings.HasPrefix(line, "#") {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r >= 0x80:
				return r
			default:
				return -1
			}
		}, strings.ToLower(strings.TrimSpace(title)))
		if anchor == name {
			return true
		}
	}
	return false
}
