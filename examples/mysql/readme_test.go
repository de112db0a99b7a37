package mysql_test

import (
	"os"
	"strings"
	"testing"
)

// The code in the README is that of the examples, and it has every setting.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, examples := words(t, "README.md"), words(t, "example_test.go")
	blocks := strings.Split(readme, "```go ")
	for _, block := range blocks[1:] {
		code, _, _ := strings.Cut(block, " ```")
		if !strings.Contains(examples, code) {
			t.Errorf("not in the examples:\n%s", code)
		}
	}
	if len(blocks) < 5 {
		t.Errorf("found %d blocks of code", len(blocks)-1)
	}
	for _, s := range settings {
		if !strings.Contains(readme, "| `"+s.name+"`") {
			t.Errorf("the README does not tell of %s", s.name)
		}
	}
}

// words returns a file with single spaces.
func words(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}
