//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

// The README shows what the demo prints.
func TestOutput(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(readme), "```text\n")
	if shown, _, _ := strings.Cut(after, "```"); shown != out.String() {
		t.Errorf("the README shows\n%sand the demo prints\n%s", shown, out.String())
	}
}
