package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the output in README.md")

// TestREADME compares what the demonstration prints with what README.md says.
func TestREADME(t *testing.T) {
	t.Parallel()
	const file, command = "../README.md", "$ go run ./demo\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), command)
	want, after, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md does not have the command")
	}
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if *update {
		err = os.WriteFile(file, []byte(before+command+out.String()+"```"+after), 0o644)
	} else if got := out.String(); got != want {
		t.Errorf("it prints\n%s\nREADME.md has, -update rewrites it,\n%s", got, want)
	}
	if err != nil {
		t.Error(err)
	}

	// Its code is the demonstration's.
	program, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ = strings.Cut(string(text), "```go\n")
	code, _, ok := strings.Cut(rest, "```")
	if flat := strings.NewReplacer("\t", ""); !ok || !strings.Contains(flat.Replace(string(program)), flat.Replace(code)) {
		t.Errorf("main.go does not have\n%s", code)
	}
}
