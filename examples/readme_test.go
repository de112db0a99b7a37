// Package examples_test checks that what is written about the library is so: it compiles
// the snippets, and compares what is generated.
package examples_test

import (
	"context"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/memrepo"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

var update = flag.Bool("update", false, "rewrite what is generated in README.md")

// Example is the README's.
func Example() {
	ctx := context.Background()
	repo := new(memrepo.Repo) // or your own store: see below
	if err := repo.Insert(
		lifecycle.Request{ID: 42, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 43, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		lifecycle.Request{ID: 44, Parent: 42, Kind: lifecycle.KindChild, State: lifecycle.StateReady},
	); err != nil {
		log.Fatal(err)
	}

	var workers cancel.Workers // ends the context of work that runs in this process
	canceller := cancel.New(repo, &cancel.Options{Interrupter: &workers})

	request, err := canceller.Transition(ctx, cancel.Order{ID: 44}, lifecycle.TriggerStart)
	if err != nil {
		log.Fatal(err)
	}
	started, shown, stopped := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		stopped <- workers.Run(ctx, canceller, request, func(ctx context.Context) error {
			close(started)
			<-ctx.Done()
			<-shown                   // only so that this prints the same every time
			return context.Cause(ctx) // says who cancelled, and why
		}, nil)
	}()
	<-started

	result, err := canceller.Cancel(ctx, cancel.Order{ID: 42, Actor: "ann", Reason: "wrong ledger"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Root)
	fmt.Println(result.Counts)
	close(shown)
	fmt.Println(<-stopped)

	root, err := repo.Get(ctx, 42)
	fmt.Println(root.State, err)
	// Output:
	// 42 RUNNING -> CANCELLING: cancelling
	// 1 cancelled, 2 cancelling
	// request 44 was cancelled by "ann": wrong ledger
	// CANCELLED <nil>
}

func newRepository(_ context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
	var repo memrepo.Repo
	return &repo, repo.Insert(requests...)
}

func TestRepository(t *testing.T) {
	canceltest.Run(t, canceltest.Harness{New: newRepository})
}

// The snippets of other doc comments, so that they are compiled.

type store struct{ memrepo.Repo }

func newStore(*testing.T) *store { return new(store) }

func (s *store) insert(_ context.Context, requests []lifecycle.Request) error {
	return s.Insert(requests...)
}

func TestStore(t *testing.T) {
	canceltest.Run(t, canceltest.Harness{
		New: func(ctx context.Context, requests []lifecycle.Request) (cancel.Repository, error) {
			store := newStore(t)
			return store, store.insert(ctx, requests)
		},
	})
}

func same[T any](v T) T { return v }

var _ = func(err error) canceltest.Fault {
	return same(
		canceltest.Fault{Call: 7, After: true, Err: err},
	)
}

var _ = func(repo *memrepo.Repo) cancel.Repository {
	plain := struct{ cancel.Repository }{repo}
	return plain
}

// TestREADMEGenerated compares the README's diagram and tables with what the code makes.
func TestREADMEGenerated(t *testing.T) {
	t.Parallel()
	text := read(t, "../README.md")
	want := text
	for name, content := range map[string]string{
		"diagram": "```mermaid\n" + lifecycle.Diagram{Kinds: []lifecycle.Kind{lifecycle.KindChild}}.Mermaid() + "```\n",
		"table":   cancelTable(),
		"errors":  errorTable(),
	} {
		before, rest, ok := strings.Cut(want, "<!-- generated: "+name+" -->\n")
		_, after, ok2 := strings.Cut(rest, "<!-- end -->")
		if !ok || !ok2 {
			t.Fatalf("README.md has no place for %q", name)
		}
		want = before + "<!-- generated: " + name + " -->\n" + content + "<!-- end -->" + after
	}
	if text == want {
		return
	}
	if !*update {
		t.Fatal("README.md is out of date: go test ./examples -run README -update")
	}
	if err := os.WriteFile("../README.md", []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cancelTable groups the states in which a cancel does the same.
func cancelTable() string {
	type row struct{ leaf, parent, both, source string }
	var order []row
	states := map[row][]string{}
	for _, set := range []lifecycle.StateSet{lifecycle.Live, lifecycle.Terminal} {
		for s := range set.All() {
			r := row{outcome(lifecycle.KindChild, s), outcome(lifecycle.KindParent, s), outcome(lifecycle.KindSubrequestParent, s), "spec"}
			if rule, ok := lifecycle.RuleFor(lifecycle.KindChild, s, lifecycle.TriggerCancel); ok {
				r.source = rule.Source.String()
			}
			if states[r] == nil {
				order = append(order, r)
			}
			states[r] = append(states[r], s.String())
		}
	}
	var b strings.Builder
	b.WriteString("| state | Singleton, Child | Parent (container) | SubrequestParent | source |\n|---|---|---|---|---|\n")
	for _, r := range order {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(states[r], ", "), r.leaf, r.parent, r.both, r.source)
	}
	return b.String()
}

func outcome(k lifecycle.Kind, s lifecycle.State) string {
	to, ok := lifecycle.Next(k, s, lifecycle.TriggerCancel)
	switch {
	case !ok:
		return "refused: 400"
	case to == s:
		return "unchanged, told again"
	case to == lifecycle.StateCancelled:
		return to.String()
	case !k.HasChildren():
		return to.String() + " until its work answers"
	case lifecycle.Executes(k, s):
		return to.String() + " until its work answers and its last child ends"
	default:
		return to.String() + " until its last child ends"
	}
}

func errorTable() string {
	var b strings.Builder
	b.WriteString("| code | status | error code | meaning |\n|---|---|---|---|\n")
	names := map[esserrors.Code]string{
		esserrors.CodeUnsupportedState: "CodeUnsupportedState", esserrors.CodeNotAuthorized: "CodeNotAuthorized",
		esserrors.CodeNotFound: "CodeNotFound", esserrors.CodeConflict: "CodeConflict", esserrors.CodeSystem: "CodeSystem",
	}
	for c := range esserrors.Codes() {
		e := esserrors.Table(nil).Entry(c)
		fmt.Fprintf(&b, "| `%s` | %d | %s | %s |\n", names[c], e.Status, e.ErrorCode, e.Title)
	}
	return b.String()
}

// TestSnippets finds every line of Go that the README and the doc comments show in
// code that is compiled, in the same order.
func TestSnippets(t *testing.T) {
	t.Parallel()
	compiled := compiledLines(t)
	n := 0
	check := func(where, code string) {
		n++
		var lines []string
		for line := range strings.Lines(code) {
			if line = strings.TrimSuffix(strings.TrimSpace(line), ","); line != "" {
				lines = append(lines, line)
			}
		}
		for _, file := range compiled {
			for i := range file {
				if len(file)-i >= len(lines) && slices.Equal(file[i:i+len(lines)], lines) {
					return
				}
			}
		}
		t.Errorf("%s: this snippet stands in no code that is compiled:\n%s", where, code)
	}
	readmes, err := filepath.Glob("*/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, readme := range append(readmes, "../README.md") {
		for i, block := range strings.Split(read(t, readme), "```go\n") {
			if i > 0 {
				code, _, _ := strings.Cut(block, "```")
				check(readme, code)
			}
		}
	}
	for _, dir := range []string{"../errors", "../lifecycle", "../cancel", "../cancel/memrepo", "../cancel/canceltest", "../cancel/canceltest/explore", "../cancel/canceltest/simulate"} {
		for where, text := range docComments(t, dir) {
			for _, block := range new(comment.Parser).Parse(text).Content {
				if code, ok := block.(*comment.Code); ok && isGo(code.Text) {
					check(where, code.Text)
				}
			}
		}
	}
	if n < 5 {
		t.Errorf("only %d snippets found", n)
	}
}

// isGo tells a snippet from other indented text, such as output.
func isGo(code string) bool {
	for _, wrapped := range []string{"package p\n" + code, "package p\nfunc _() {\n" + code + "\n}"} {
		if _, err := parser.ParseFile(token.NewFileSet(), "", wrapped, 0); err == nil {
			return true
		}
	}
	return false
}

// compiledLines returns the lines of the Go files of this module, but for the
// comments, in which the snippets stand.
func compiledLines(t *testing.T) map[string][]string {
	t.Helper()
	files := map[string][]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
			return err
		}
		for line := range strings.Lines(read(t, path)) {
			if line = strings.TrimSuffix(strings.TrimSpace(line), ","); line != "" && (!strings.HasPrefix(line, "//") || strings.HasSuffix(path, "_test.go")) {
				files[path] = append(files[path], line)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// docComments returns the documentation of a package and of all its exported names.
func docComments(t *testing.T, dir string) map[string]string {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	pkg, err := doc.NewFromFiles(fset, files, "example.com/ess/"+filepath.Base(dir))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{dir: pkg.Doc}
	values := func(prefix string, vs []*doc.Value) {
		for _, v := range vs {
			all[prefix+v.Names[0]] = v.Doc
		}
	}
	funcs := func(prefix string, fs []*doc.Func) {
		for _, f := range fs {
			all[prefix+f.Name] = f.Doc
		}
	}
	values(dir+".", slices.Concat(pkg.Consts, pkg.Vars))
	funcs(dir+".", pkg.Funcs)
	for _, typ := range pkg.Types {
		all[dir+"."+typ.Name] = typ.Doc
		values(dir+"."+typ.Name+".", slices.Concat(typ.Consts, typ.Vars))
		funcs(dir+"."+typ.Name+".", slices.Concat(typ.Funcs, typ.Methods))
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
