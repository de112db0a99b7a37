package examples_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "example.com/ess"

const (
	canceltestMemory = "cancel/canceltest/internal/memory"
	canceltestRows   = "cancel/canceltest/internal/rows"
	canceltestShow   = "cancel/canceltest/internal/show"
)

// libraryPackages are those that others import, and what each links from outside the
// standard library. A test package links testing, and none links net/http or flag.
var libraryPackages = map[string][]string{
	"errors":                  {"errors"},
	"lifecycle":               {"errors", "lifecycle", "stateless"},
	"lifecycle/lifecycletest": {"errors", "lifecycle", "lifecycle/lifecycletest", "stateless"},
	"cancel":                  {"cancel", "errors", "lifecycle", "stateless"},
	"cancel/memrepo":          {"cancel", "cancel/memrepo", "errors", "lifecycle", "stateless"},
	"cancel/canceltest":       {"cancel", "cancel/canceltest", canceltestRows, canceltestShow, "cancel/memrepo", "errors", "lifecycle", "stateless"},
	"cancel/canceltest/explore": {
		"cancel", "cancel/canceltest", "cancel/canceltest/explore", canceltestMemory, canceltestRows, canceltestShow, "cancel/memrepo", "errors", "lifecycle", "stateless",
	},
	"cancel/canceltest/simulate": {
		"cancel", "cancel/canceltest", canceltestRows, canceltestShow, "cancel/canceltest/simulate", "cancel/memrepo", "errors", "lifecycle", "stateless",
	},
}

// TestAPI compares the documentation of each package with a file: each change of the
// public API, its documentation included, is a change that a reviewer sees.
func TestAPI(t *testing.T) {
	t.Parallel()
	for pkg := range libraryPackages {
		got := goTool(t, "doc", "-all", module+"/"+pkg)
		path := filepath.Join("testdata", "api", strings.ReplaceAll(pkg, "/", "_")+".txt")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if diff := cmp.Diff(read(t, path), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s\nIf every changed line is meant: go test ./examples -run API -update", path, diff)
		}
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for pkg, want := range libraryPackages {
		all := strings.Fields(goTool(t, "list", "-deps", "-f", "{{.ImportPath}}{{if not .Standard}} !{{.ImportPath}}{{end}}", module+"/"+pkg))
		var foreign []string
		for _, p := range all {
			if p, ok := strings.CutPrefix(p, "!"); ok {
				foreign = append(foreign, strings.TrimPrefix(strings.TrimPrefix(p, module+"/"), "github.com/qmuntal/"))
			}
		}
		if slices.Sort(foreign); !slices.Equal(foreign, want) {
			t.Errorf("%s links from outside the standard library %q, want %q", pkg, foreign, want)
		}
		for banned, unless := range map[string]bool{"net/http": false, "flag": strings.Contains(pkg, "test"), "testing": strings.Contains(pkg, "test")} {
			if slices.Contains(all, banned) != unless {
				t.Errorf("%s links %s: %v, want %v", pkg, banned, !unless, unless)
			}
		}
	}
}

// goTool returns what the go command prints. A test that cannot ask it fails rather than
// pass unchecked.
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
