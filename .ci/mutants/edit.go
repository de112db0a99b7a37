package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// An edit replaces, in a function such as "operation.settle", the one place that is old by
// new. old is an expression, statements, or a case clause.
type edit struct{ fn, old, new string }

// A source is the files of a package.
type source struct {
	fset  *token.FileSet
	files map[string]*ast.File
	texts map[string][]byte
}

func parse(dir string) (*source, error) {
	s := &source{fset: token.NewFileSet(), files: map[string]*ast.File{}, texts: map[string][]byte{}}
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		if s.texts[path], err = os.ReadFile(path); err != nil {
			return nil, err
		}
		if s.files[path], err = parser.ParseFile(s.fset, path, s.texts[path], 0); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// A cut is a piece of a file and what stands there instead.
type cut struct {
	path     string
	from, to int
	text     string
}

// edit returns the files that edits change, as they are then.
func (s *source) edit(edits []edit) (map[string][]byte, error) {
	var cuts []cut
	for _, e := range edits {
		c, err := s.find(e)
		if err != nil {
			return nil, err
		}
		cuts = append(cuts, c)
	}
	slices.SortFunc(cuts, func(a, b cut) int { return b.from - a.from }) // from the end, so that positions hold
	files := map[string][]byte{}
	for _, c := range cuts {
		text, ok := files[c.path]
		if !ok {
			text = s.texts[c.path]
		}
		files[c.path] = slices.Concat(text[:c.from], []byte(c.text), text[c.to:])
	}
	for path, text := range files {
		formatted, err := format.Source(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		files[path] = formatted
	}
	return files, nil
}

// find returns the cut that e is.
func (s *source) find(e edit) (cut, error) {
	var cuts []cut
	found := false
	for path, file := range s.files {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || name(fn) != e.fn {
				continue
			}
			found = true
			for _, span := range s.places(fn, e.old) {
				cuts = append(cuts, cut{path, s.fset.Position(span[0]).Offset, s.fset.Position(span[1]).Offset, e.new})
			}
		}
	}
	switch {
	case !found:
		return cut{}, fmt.Errorf("there is no function %s", e.fn)
	case len(cuts) != 1:
		return cut{}, fmt.Errorf("function %s has %d times: %s", e.fn, len(cuts), e.old)
	}
	return cuts[0], nil
}

// name returns a name such as "operation.settle" or "New".
func name(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return fn.Name.Name
	}
	t := fn.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	return fmt.Sprint(t) + "." + fn.Name.Name
}

// places returns where in fn the pattern is.
func (s *source) places(fn *ast.FuncDecl, pattern string) (spans [][2]token.Pos) {
	if want, err := parser.ParseExpr(pattern); err == nil {
		text := s.text(want)
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			if x, ok := n.(ast.Expr); ok && s.text(x) == text {
				spans = append(spans, [2]token.Pos{x.Pos(), x.End()})
			}
			return true
		})
		if len(spans) > 0 {
			return spans
		}
	}
	want := statements("func _() {" + pattern + "\n}")
	if want == nil {
		want = statements("func _() { switch {" + pattern + "\n} }")
		if len(want) == 1 {
			if sw, ok := want[0].(*ast.SwitchStmt); ok {
				want = sw.Body.List
			}
		}
	}
	if len(want) == 0 {
		return nil
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		list := listOf(n)
		for i := 0; i+len(want) <= len(list); i++ {
			if slices.EqualFunc(list[i:i+len(want)], want, func(a, b ast.Stmt) bool { return s.text(a) == s.text(b) }) {
				spans = append(spans, [2]token.Pos{list[i].Pos(), list[i+len(want)-1].End()})
			}
		}
		return true
	})
	return spans
}

// listOf returns the statements that n is a list of.
func listOf(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	default:
		return nil
	}
}

// statements returns the statements of a function, or nil if they are none.
func statements(fn string) []ast.Stmt {
	f, err := parser.ParseFile(token.NewFileSet(), "", "package p\n"+fn, 0)
	if err != nil {
		return nil
	}
	return f.Decls[0].(*ast.FuncDecl).Body.List
}

// text returns a node in one form, whatever its layout and comments were.
func (s *source) text(n ast.Node) string {
	var b bytes.Buffer
	if err := printer.Fprint(&b, token.NewFileSet(), n); err != nil {
		return ""
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(b.String(), ",\n", "\n")), " ")
}
