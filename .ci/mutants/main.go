// Command mutants makes one mistake after the other in package cancel and sees that the
// proof kit's tests reject each, but not the package as it is. Run it from the root of the
// module:
//
//	go run ./.ci/mutants             all
//	go run ./.ci/mutants -run fence  those whose name matches
//	go run ./.ci/mutants -check      only whether each still fits the source
//
// A mistake is an edit of the syntax tree of a function, named by the function and by the
// expression or the statements that are replaced: comments, formatting and the file that
// the function is in do not matter.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// packages are where the tests are, the ones that find most first.
var packages = []string{"explore", "simulate", ""}

func main() {
	run := flag.String("run", "", "only mutants whose name matches")
	check := flag.Bool("check", false, "only see whether they fit the source")
	flag.Parse()
	if err := mutate(regexp.MustCompile(*run), *check); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func mutate(chosen *regexp.Regexp, check bool) error {
	src, err := parse("cancel")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // in the system's folder for such things
	if by, err := reject(dir, nil); !check && (err != nil || by != "") {
		return fmt.Errorf("the library as it is is rejected by %q: %w", by, err)
	}
	tried, bad := 0, 0
	for _, m := range mutants {
		if !chosen.MatchString(m.name) {
			continue
		}
		tried++
		files, err := src.edit(m.edits)
		by := ""
		if err == nil && !check {
			by, err = reject(dir, files)
		}
		switch {
		case err != nil:
			bad++
			fmt.Printf("BROKEN    %s: %v\n", m.name, err)
		case check:
		case by == "":
			bad++
			fmt.Printf("SURVIVED  %s\n", m.name)
		default:
			fmt.Printf("rejected  %s: by %s\n", m.name, by)
		}
	}
	fmt.Printf("%d of %d wrong libraries rejected\n", tried-bad, tried)
	if bad > 0 || tried == 0 {
		return fmt.Errorf("%d of %d were not", bad, tried)
	}
	return nil
}

// reject runs the Proof tests on the library with some files replaced, until one fails. It
// returns the name of that one. The test whose outcome is up to the goroutines is left out:
// what is rejected once is rejected always.
func reject(dir string, files map[string][]byte) (test string, err error) {
	overlay := map[string]map[string]string{"Replace": {}}
	for path, text := range files {
		abs, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		mutated := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(mutated, text, 0o600); err != nil {
			return "", err
		}
		overlay["Replace"][abs] = mutated
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	overlayFile := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlayFile, text, 0o600); err != nil {
		return "", err
	}
	for _, pkg := range packages {
		where := filepath.Join("cancel", "canceltest", pkg)
		binary := filepath.Join(dir, "mutant.test")
		build := exec.Command("go", "test", "-c", "-vet=off", "-overlay="+overlayFile, "-o", binary, "./"+where)
		if out, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("it does not compile: %s", out)
		}
		if test, err = firstFailure(binary, where); err != nil || test != "" {
			return test, err
		}
	}
	return "", nil
}

// firstFailure runs a test binary until a test fails, and returns its name.
func firstFailure(binary, dir string) (string, error) {
	cmd := exec.Command(binary, "-test.failfast", "-test.run=^TestProof", "-test.skip=^TestProofConcurrent", "-test.timeout=5m")
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	var text strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		fmt.Fprintln(&text, lines.Text())
		if by, failed := strings.CutPrefix(lines.Text(), "--- FAIL: "); failed {
			_ = cmd.Process.Kill() // the others need not run to their end
			_ = cmd.Wait()
			name, _, _ := strings.Cut(by, " ")
			return name, nil
		}
	}
	if err := cmd.Wait(); err != nil { // a panic or a timeout is nobody's verdict
		return "", fmt.Errorf("no test failed, but %w:\n%s", err, text.String())
	}
	return "", nil
}
