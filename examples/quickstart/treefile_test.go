package main

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

func TestParseTree(t *testing.T) {
	t.Parallel()
	got, err := parseTree("a.tree", `
		# Children may come first.
		3 2 CHILD RUNNING work=fails  Post   journals
		4 1 CHILD HOLD
		1 0 PARENT RUNNING Close # 1
		2 1 PARENT CANCELLING`)
	if err != nil {
		t.Fatal(err)
	}
	want := &tree{
		requests: []lifecycle.Request{
			{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
			{ID: 4, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateHold},
			{ID: 2, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateCancelling, Outcome: lifecycle.StateCancelled},
			{ID: 3, Parent: 2, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
		},
		names:   map[lifecycle.ID]string{1: "Close # 1", 2: "", 3: "Post journals", 4: ""},
		manners: map[lifecycle.ID]manner{3: fails},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(tree{})); diff != "" {
		t.Errorf("parseTree differs (-want +got):\n%s", diff)
	}
}

func TestParseTreeErrors(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, text string
		want       string
	}{
		{"empty", "", "a.tree:1: the file ends without a request"},
		{"comments only", "# a\n\n# b\n", "a.tree:3: the file ends without a request"},
		{"too few fields", "1 0 PARENT RUNNING\n2 1 CHILD\n", "a.tree:2: a request needs at least ID, PARENT, KIND and STATE"},
		{"id is no number", "one 0 CHILD WAIT\n", `a.tree:1: the id "one" is not a positive number`},
		{"id 0", "0 0 CHILD WAIT\n", `a.tree:1: the id "0" is not a positive number`},
		{"id too large", "9223372036854775808 0 CHILD WAIT\n", `a.tree:1: the id "9223372036854775808" is not a positive number`},
		{"negative parent", "1 -2 CHILD WAIT\n", `a.tree:1: the parent "-2" is neither a positive number nor 0`},
		{"parent is no number", "1 - CHILD WAIT\n", `a.tree:1: the parent "-" is neither a positive number nor 0`},
		{"unknown kind", "1 0 child WAIT\n", `a.tree:1: unknown kind "child"; the kinds are SINGLETON, CHILD, PARENT, SUBREQUEST_PARENT`},
		{"unknown state", "\n1 0 CHILD RUNING\n", `a.tree:2: unknown state "RUNING"; the states are WAIT, READY, `},
		{"duplicate id", "1 0 CHILD WAIT\n# x\n1 0 CHILD WAIT\n", "a.tree:3: request 1 is on line 1 already"},
		{"unknown manner", "1 0 CHILD RUNNING work=naps\n", `a.tree:1: unknown manner of work "naps"; the manners are stops, finishes, fails, ignores`},
		{"manner of what waits", "1 0 CHILD WAIT work=stops\n", "a.tree:1: a CHILD request in state WAIT runs no work"},
		{"manner of a container", "1 0 PARENT RUNNING work=stops\n", "a.tree:1: a PARENT request in state RUNNING runs no work"},
		{"name with an escape sequence", "1 0 CHILD WAIT \x1b[31mred\n", `a.tree:1: the name "\x1b[31mred" cannot be printed`},
		{"missing parent", "1 0 PARENT WAIT\n2 7 CHILD WAIT\n", "a.tree:2: request 2 has parent 7, which is not in the file"},
		{"parent without children", "2 1 CHILD WAIT\n1 0 CHILD WAIT\n", "a.tree:1: request 2 has parent 1, but a CHILD has no children"},
		{"live child of an ended parent", "1 0 PARENT SUCCEEDED\n2 1 CHILD WAIT\n", "a.tree:2: request 2 is WAIT, but its parent 1 has ended: it is SUCCEEDED"},
		{"its own parent", "1 0 PARENT WAIT\n2 2 PARENT WAIT\n", "a.tree:2: request 2 is below itself"},
		{"cycle", "4 3 CHILD WAIT\n3 2 PARENT WAIT\n2 3 PARENT WAIT\n", "a.tree:2: request 3 is below itself"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := parseTree("a.tree", test.text)
			if _, ok := errors.AsType[*treeError](err); !ok || !strings.HasPrefix(err.Error(), test.want) {
				t.Errorf("parseTree(%q) = %v, want %s", test.text, err, test.want)
			}
		})
	}
}

// FuzzParse checks that what parses can be drawn, inserted, and cancelled to its end.
func FuzzParse(f *testing.F) {
	f.Add("# x\n2 1 CHILD RUNNING work=fails x y\n1 0 PARENT WAIT")
	f.Add("2 1 CHILD WAIT\n1 0 PARENT CANCELLING\n")
	f.Add("1 2 PARENT WAIT\n2 1 PARENT WAIT\n")
	f.Add("1 0 SUBREQUEST_PARENT COMPLETED work=finishes x\n")
	f.Add("1 0 CHILD\n\x00 \xff")
	f.Fuzz(func(t *testing.T, text string) {
		tree, err := parseTree("a.tree", text)
		if err != nil {
			if _, ok := errors.AsType[*treeError](err); !ok || tree != nil {
				t.Fatalf("parseTree = %v, %v", tree, err)
			}
			if text := err.Error(); len(text) > 500 || !isPrintable(text) {
				t.Fatalf("the error is not fit for a terminal: %q", text)
			}
			return
		}
		for _, name := range tree.names {
			if !isPrintable(name) {
				t.Fatalf("the name %q is not fit for a terminal", name)
			}
		}
		repo := new(memrepo.Repo)
		if err := repo.Insert(tree.requests...); err != nil {
			t.Fatalf("Insert: %v", err)
		}
		canceller := cancel.New(repo, nil)
		for _, r := range tree.requests {
			if r.Parent == 0 && lifecycle.Live.Has(r.State) {
				if _, err := canceller.Cancel(t.Context(), cancel.Order{ID: r.ID}); err != nil {
					t.Fatalf("Cancel: %v", err)
				}
			}
		}
		for r := range repo.All() {
			if lifecycle.Pending.Has(r.State) {
				t.Errorf("request %d has escaped: it is %v", r.ID, r.State)
			}
		}
	})
}
