package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"example.com/ess/lifecycle"
)

// A member of the etcd cluster is this program once more, here the test.
func TestMain(m *testing.M) {
	if isMember() {
		exitOn(runMember())
		return
	}
	os.Exit(m.Run())
}

// The whole program on small trees. Each way checks by itself that every request ended as it
// should. What they took says nothing, and is not looked at.
func TestQuick(t *testing.T) {
	var log bytes.Buffer
	b := &bench{size: small, only: regexp.MustCompile(""), log: &log}
	if err := b.run(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	ways := map[string]int{
		"rules":       6,
		"memory/wide": 3, "memory/50": 3, "memory/100": 3, "memory/heap/all": 2, "memory/heap/three": 2,
		"memory/callers/all": 2, "memory/callers/three": 2, "memory/cancellers": 2,
		"postgres/wide": 7, "postgres/flat": 3, "postgres/deep": 3, "postgres/binary": 3, "postgres/migrated": 3,
		"postgres/50": 3, "postgres/100": 3, "postgres/callers/all": 2, "postgres/callers/three": 2,
		"postgres/cancellers/all": 2, "postgres/cancellers/three": 2, "postgres/durable": 5,
		"sqlite/50": 4, "sqlite/100": 4, "sqlite/400": 4,
		"etcd/50": 3, "etcd/100": 3, "etcd/200": 3,
	}
	for _, res := range b.results {
		if len(res.rows) != ways[res.name] {
			t.Errorf("%s has %d rows, want %d", res.name, len(res.rows), ways[res.name])
		}
		delete(ways, res.name)
		for _, r := range res.rows {
			if r.work == 0 || len(r.ns) == 0 || r.perUnit() <= 0 {
				t.Errorf("%s: %s was not measured", res.name, r.name)
			}
		}
	}
	for name := range ways {
		t.Errorf("%s is missing", name)
	}

	var table strings.Builder
	if err := b.writeTable(&table); err != nil {
		t.Fatal(err)
	}
	for _, res := range b.results {
		for _, r := range res.rows {
			if !strings.Contains(table.String(), "\n| "+r.name+" | ") {
				t.Errorf("the table lacks %s of %s", r.name, res.name)
			}
			for _, g := range r.goals {
				if !strings.Contains(table.String(), g.text) {
					t.Errorf("the table lacks the target %s", g.text)
				}
			}
		}
	}
	titles := []string{"One decision by the rules", "where the raw baseline takes 1", "by the size of the tree", "where one canceller has 1"}
	chart := string(b.chart())
	for _, title := range titles {
		if !strings.Contains(chart, title) {
			t.Errorf("the chart lacks the panel %q", title)
		}
	}
	checkXML(t, chart)
}

// checkXML fails the test unless text is a well-formed SVG document without numbers that
// are none.
func checkXML(t *testing.T, text string) {
	t.Helper()
	for _, bad := range []string{"NaN", "Inf"} {
		if strings.Contains(text, bad) {
			t.Errorf("the chart contains %s", bad)
		}
	}
	in := xml.NewDecoder(strings.NewReader(text))
	root := ""
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && root == "" {
			root = start.Name.Local
		}
	}
	if root != "svg" {
		t.Errorf("the chart is a document of %q, want svg", root)
	}
}

// The README's picture is drawn by this program, too.
func TestReadmeChart(t *testing.T) {
	chart, err := os.ReadFile("chart.svg")
	if err != nil {
		t.Fatal(err)
	}
	checkXML(t, string(chart))
}

func TestOnly(t *testing.T) {
	b := &bench{size: small, only: regexp.MustCompile("^memory/50$"), log: io.Discard}
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(b.results) != 1 || b.results[0].name != "memory/50" {
		t.Errorf("results = %v, want those of memory/50 alone", b.results)
	}
	checkXML(t, string(b.chart()))
}

// What is compared must say the same.
func TestSwitch(t *testing.T) {
	for k := range lifecycle.Kinds() {
		for s := range lifecycle.States() {
			for trigger := range lifecycle.Triggers() {
				want, _ := lifecycle.Next(k, s, trigger)
				if got := nextBySwitch(k, s, trigger); got != want {
					t.Errorf("nextBySwitch(%v, %v, %v) = %v, want %v", k, s, trigger, got, want)
				}
			}
		}
	}
}

func TestTrees(t *testing.T) {
	for _, tree := range []tree{wide(3, 4), flat(9), chain(7), binary(10), forest(3, wide(2, 3))} {
		t.Run(tree.name, func(t *testing.T) {
			parents := map[lifecycle.ID]bool{}
			depth := map[lifecycle.ID]int{0: -2}
			levels := make([]int, len(tree.levels))
			n, roots := 0, []lifecycle.ID{}
			for r := range tree.all() {
				n++
				if err := r.Validate(); err != nil {
					t.Error(err)
				}
				if r.ID != lifecycle.ID(n) || r.Parent >= r.ID || r.Parent != 0 && !tree.at(int(r.Parent)).Kind.HasChildren() {
					t.Errorf("request %d of %+v", n, r)
				}
				parents[r.Parent] = true
				if depth[r.ID] = depth[r.Parent] + 1; r.Parent == 0 {
					roots = append(roots, r.ID)
				} else if len(levels) > 0 {
					levels[depth[r.ID]]++
				}
			}
			if n != tree.n || fmt.Sprint(roots) != fmt.Sprint(tree.roots) || fmt.Sprint(levels) != fmt.Sprint(tree.levels) {
				t.Errorf("%d requests, roots %v, levels %v, want %d, %v, %v", n, roots, levels, tree.n, tree.roots, tree.levels)
			}
			for r := range tree.all() {
				if parents[r.ID] != r.Kind.HasChildren() {
					t.Errorf("%+v has children: %v", r, parents[r.ID])
				}
			}
		})
	}
}

func TestTexts(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{thousands(7), "7"},
		{thousands(1234567), "1,234,567"},
		{figure(0.9132), "0.91"},
		{figure(12.345), "12.3"},
		{figure(345.67), "346"},
		{figure(123456), "123,000"},
		{duration(1.38), "1.38 ns"},
		{duration(3.4e9), "3.40 s"},
		{duration(476e9), "7.93 min"},
		{megabytes(12), "<0.1 MB"},
		{megabytes(1.234e7), "12.3 MB"},
		{fixed(0.0004), "0"},
		{fixed(0.014), "0.01"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
