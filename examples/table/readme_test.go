package table_test

import (
	"os"
	"strings"
	"testing"
)

// TestReadme compares the statements and the output in the README with those that are
// run. (The snippets of Go are compared by the tests of package examples.)
func TestReadme(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	output := strings.ReplaceAll(string(example), "\t// ", "")
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for language, in := range map[string]string{"sql": adopt, "text": output} {
		for _, block := range strings.Split(string(readme), "```"+language+"\n")[1:] {
			n++
			if text, _, _ := strings.Cut(block, "```"); !strings.Contains(in, text) {
				t.Errorf("this is not what is run:\n%s", text)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d blocks compared", n)
	}
}
