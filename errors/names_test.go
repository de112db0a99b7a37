package errors_test

import (
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

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
	out, err := exec.CommandContext(t.Context(), "go", "doc", "-short", pkg).Output()
	if err != nil {
		t.Fatalf("go doc -short %s: %v", pkg, err)
	}
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^\s*(?:func|type|var|const) (\w+)`).FindAllStringSubmatch(string(out), -1) {
		names = append(names, m[1])
	}
	return names
}
