package essasynq_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The code in the README is that of the demo.
func TestReadme(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	demo := words(read("demo/main.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read("README.md"), -1)
	if len(blocks) < 7 {
		t.Errorf("found %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(demo, words(block[1])) {
			t.Errorf("not in the demo:\n%s", block[1])
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
