package essriver_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	essriver "example.com/ess/examples/river"
)

// The code in the README is that of the example, and its table that of the package.
func TestReadme(t *testing.T) {
	t.Parallel()
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme, example := read("README.md"), words(read("example_test.go"))
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(readme, -1)
	if len(blocks) < 7 {
		t.Errorf("found %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(example, words(block[1])) {
			t.Errorf("not in the example:\n%s", block[1])
		}
	}
	if table := essriver.MappingTable(); !strings.Contains(readme, table) {
		t.Errorf("the README has another table than:\n%s", table)
	}
}

// words returns text with single spaces.
func words(text string) string { return strings.Join(strings.Fields(text), " ") }
