package essriver_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	essriver "example.com/ess/examples/river"
)

// The code in the README is that of the demo, and its table that of the package.
func TestReadme(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme, example := read("README.md"), words(read("demo/main.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 8 {
		t.Errorf("found %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(example, words(block[1])) {
			t.Errorf("not in the demo:\n%s", block[1])
		}
	}
	if table := essriver.MappingTable(); !strings.Contains(readme, table) {
		t.Errorf("the README has another table than:\n%s", table)
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
