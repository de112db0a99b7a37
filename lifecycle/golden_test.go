package lifecycle_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
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
		t.Errorf("%s (-want +got):\n%s\nIf every changed line is meant: go test ./lifecycle -update", path, diff)
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

	const module = "example.com/ess"
	want := []string{module + "/errors", module + "/lifecycle", "github.com/qmuntal/stateless"}
	got := strings.Fields(goTool(t, "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "."))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("packages linked from outside the standard library = %q, want %q", got, want)
	}

	all := strings.Fields(goTool(t, "list", "-deps", "."))
	if !slices.Contains(all, "fmt") {
		t.Fatalf("go list -deps = %q: this cannot be all", all)
	}
	for _, banned := range []string{"net/http", "testing", "flag"} {
		if slices.Contains(all, banned) {
			t.Errorf("package links %q", banned)
		}
	}
}
