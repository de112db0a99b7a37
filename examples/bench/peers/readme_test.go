package main

import (
	"os"
	"strings"
	"testing"
)

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// between returns what stands in the README behind a mark and before the end.
func between(t *testing.T, text, mark string) string {
	t.Helper()
	_, text, ok := strings.Cut(text, "<!-- "+mark+" -->\n")
	text, _, ended := strings.Cut(text, "<!-- end -->")
	if !ok || !ended {
		t.Fatalf("the README has no %s", mark)
	}
	return text
}

// The README has the figures of the run in results.md, of systems as they are linked.
func TestReadme(t *testing.T) {
	readme, results := readFile(t, "README.md"), readFile(t, "results.md")
	if times := between(t, readme, "times"); !strings.Contains(results, times) {
		t.Error("the figures are not those of results.md")
	}
	for _, e := range entrants {
		rows := strings.Count(results, "| "+e.title+" |")
		if want := 6; !e.variant && rows != want || e.variant && rows != 1 {
			t.Errorf("results.md has %d rows of %s, want %d", rows, e.title, want)
		}
	}
	short := between(t, readme, "short")
	if lines := strings.Count(short, "\n"); lines > 12 {
		t.Errorf("the short table has %d lines", lines)
	}
	for _, m := range modules {
		version := versionOf(m)
		if !strings.Contains(results, m+" "+version) {
			t.Errorf("results.md is not of %s %s: measure again", m, version)
		}
		if !strings.Contains(readme, version) || !strings.Contains(short, " "+version[1:]) {
			t.Errorf("the README does not speak of %s %s", m, version)
		}
	}
	for _, part := range parts {
		if !strings.Contains(readme, "`"+part.word+"`") && !strings.Contains(readme, "go run . "+part.word) {
			t.Errorf("the README does not name the part %s", part.word)
		}
	}
}
