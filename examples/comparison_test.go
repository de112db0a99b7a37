package examples_test

import (
	"os"
	"strings"
	"testing"
)

// TestComparison checks that the README quotes the comparison as it stands where it is made.
func TestComparison(t *testing.T) {
	t.Parallel()
	between := func(file, begin string) string {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, ok := strings.Cut(string(text), begin+"\n")
		block, _, closed := strings.Cut(rest, "<!-- end -->")
		if !ok || !closed || !strings.Contains(block, "|") {
			t.Fatalf("%s has no table after %s", file, begin)
		}
		return block
	}
	const from = "bench/peers/README.md"
	if got, want := between("../README.md", "<!-- peers -->"), between(from, "<!-- short -->"); got != want {
		t.Errorf("README.md quotes\n%s\n%s has\n%s", got, from, want)
	}
}
