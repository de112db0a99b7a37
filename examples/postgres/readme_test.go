package postgres_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The code in the README is that of the examples, and its SQL that of files that the
// examples run.
func TestReadme(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return words(string(text))
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{
		"go":  read("example_test.go"),
		"sql": read("testdata/jobs.sql") + " " + read("testdata/adopt.sql") + " " + read("testdata/unreadable.sql"),
	}
	blocks := regexp.MustCompile("(?s)```(go|sql)\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 9 {
		t.Errorf("found %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(sources[block[1]], words(block[2])) {
			t.Errorf("not in the examples:\n%s", block[2])
		}
	}
}

// The demo prints what the README shows.
func TestDemo(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, want, _ := strings.Cut(string(readme), "```text\n")
	want, _, _ = strings.Cut(want, "```")
	cmd := exec.CommandContext(t.Context(), "go", "run", "./demo")
	cmd.Stderr = os.Stderr
	if got, err := cmd.Output(); err != nil || string(got) != want {
		t.Errorf("the demo printed, %v:\n%s\nwant:\n%s", err, got, want)
	}
}

// words returns text with single spaces.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }
