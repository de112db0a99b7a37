package etcd_test

import (
	"os"
	"strings"
	"testing"
)

// Every Go snippet of the README stands in example_test.go, where it is compiled and run, as
// does every output.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(string(readme), "```go\n")
	if len(parts) < 2 {
		t.Fatal("the README has no snippet")
	}
	for _, part := range parts[1:] {
		snippet, _, _ := strings.Cut(part, "```")
		indented := "\t" + strings.ReplaceAll(strings.TrimSpace(snippet), "\n", "\n\t")
		if !strings.Contains(string(examples), indented) {
			t.Errorf("this snippet is not in example_test.go:\n%s", snippet)
		}
	}
	for _, part := range strings.Split(string(readme), "```text\n")[1:] {
		output, _, _ := strings.Cut(part, "```")
		comment := "\t// Output:\n\t// " + strings.ReplaceAll(strings.TrimSpace(output), "\n", "\n\t// ") + "\n}"
		if !strings.Contains(string(examples), comment) {
			t.Errorf("this is not the output of an example:\n%s", output)
		}
	}
}
