package errors_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// golden compares got with the file of that name in testdata, or writes it
// there.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s\nIf every changed line is meant: go test ./errors -update", path, diff)
	}
}

// goTool returns what the go command prints. A test that cannot ask it fails
// rather than pass unchecked.
func goTool(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// Each change of the public API, its documentation included, is a change of
// this file that a reviewer sees.
func TestAPI(t *testing.T) {
	t.Parallel()
	golden(t, "api.txt", goTool(t, "doc", "-all", "."))
}

func TestDependencies(t *testing.T) {
	t.Parallel()

	own := strings.TrimSpace(goTool(t, "list", "."))
	foreign := strings.Fields(goTool(t, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "."))
	if want := []string{own}; !slices.Equal(foreign, want) {
		t.Errorf("packages linked from outside the standard library = %q, want %q", foreign, want)
	}

	all := strings.Fields(goTool(t, "list", "-deps", "."))
	if !slices.Contains(all, "fmt") {
		t.Fatalf("go list -deps = %q: this cannot be all", all)
	}
	for _, banned := range []string{"net", "net/http", "testing", "flag"} {
		if slices.Contains(all, banned) {
			t.Errorf("package links %q", banned)
		}
	}
}

// A file that imports the wrong one of the two packages must not compile, so
// no name of ours may mean something in the standard library's package.
func TestNamesAreNotTheStandardLibrarys(t *testing.T) {
	t.Parallel()

	ours, theirs := declaredNames(t, "."), declaredNames(t, "errors")
	for _, name := range []string{"CodeOf", "Error"} {
		if !slices.Contains(ours, name) {
			t.Fatalf("names of this package = %q: %s is missing", ours, name)
		}
	}
	for _, name := range []string{"Is", "AsType", "ErrUnsupported"} {
		if !slices.Contains(theirs, name) {
			t.Fatalf("names of the standard package = %q: %s is missing", theirs, name)
		}
	}
	for _, name := range ours {
		if slices.Contains(theirs, name) {
			t.Errorf("%s is declared by the standard package too", name)
		}
	}
}

func declaredNames(t *testing.T, pkg string) []string {
	t.Helper()
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:func|type|var|const) (\w+)`).FindAllStringSubmatch(goTool(t, "doc", "-short", pkg), -1) {
		names = append(names, m[1])
	}
	return names
}
