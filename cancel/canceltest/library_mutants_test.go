package canceltest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A libraryMutant is a mistake in package cancel: a piece of its source and what stands
// there instead.
type libraryMutant struct {
	name, file, old, new string
}

// libraryMutants are edits of the library's source, each a mistake that somebody could make.
var libraryMutants = []libraryMutant{
	{
		"no fence: a parent is taken to be CANCELLING without a write", "canceller.go",
		"made, err := o.applyOne(ctx, ch)\n\t\t\tif err != nil {\n\t\t\t\treturn node{}, err\n\t\t\t}\n\t\t\tif made {\n\t\t\t\treturn node{req: ch.New()",
		"made, err := r.Kind.HasChildren(), error(nil)\n\t\t\tif !made {\n\t\t\t\tmade, err = o.applyOne(ctx, ch)\n\t\t\t}\n\t\t\tif err != nil {\n\t\t\t\treturn node{}, err\n\t\t\t}\n\t\t\tif made {\n\t\t\t\treturn node{req: ch.New()",
	},
	{
		"the fence comes after the cascade", "canceller.go",
		"\troot, err := o.cancelRoot(ctx)\n\tif err != nil {\n\t\treturn o.result, err\n\t}\n",
		"\tvar levels [][]node\n\tif r, err := o.get(ctx, o.id); whole && err == nil && r.Kind.HasChildren() && !lifecycle.Terminal.Has(r.State) {\n\t\to.visited.visit(r.ID)\n\t\tlevels, _ = o.sweep(ctx, [][]node{{{req: r, from: r.State}}})\n\t}\n\troot, err := o.cancelRoot(ctx)\n\tif err != nil {\n\t\treturn o.result, err\n\t}\n\tif levels != nil {\n\t\troot.children, root.mustLook = levels[0][0].children, levels[0][0].mustLook\n\t\tlevels[0][0] = root\n\t\to.stopOn(o.settle(ctx, levels))\n\t\tfor _, level := range levels {\n\t\t\tfor i := range level {\n\t\t\t\to.report(level[i])\n\t\t\t}\n\t\t}\n\t\treturn o.result, o.err()\n\t}\n",
	},
	{
		"a parent is settled without looking for live children", "settle.go",
		"return live[n.req.ID] }), nil", "return false }), nil",
	},
	{
		"the upward settle does not look for live children", "settle.go",
		"if len(live) > 0 {\n\t\t\treturn n, nil\n\t\t}", "_ = live",
	},
	{
		"work looks for live children before it records its answer", "acknowledge.go",
		"\t\tmade, err := o.applyOne(ctx, ch)\n\t\tif err != nil {\n\t\t\treturn Result{}, err\n\t\t}\n\t\tif made {\n\t\t\to.answered(ctx, ch.New(), r.State, true)",
		"\t\tq := ChildQuery{Parents: []lifecycle.ID{r.ID}, States: lifecycle.Live, Limit: 1}\n\t\tlive, err := children(ctx, o.c.repo, &q)\n\t\tif err != nil {\n\t\t\treturn Result{}, err\n\t\t}\n\t\tmade, err := o.applyOne(ctx, ch)\n\t\tif err != nil {\n\t\t\treturn Result{}, err\n\t\t}\n\t\tif made && len(live) > 0 {\n\t\t\to.give(Receipt{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Disposition: DispositionRecorded, From: r.State, To: r.State})\n\t\t\treturn o.result, o.err()\n\t\t}\n\t\tif made {\n\t\t\to.answered(ctx, ch.New(), r.State, true)",
	},
	{
		"a lost race is not tried again", "cascade.go",
		"if len(lost) == 0 {\n\t\t\tbreak\n\t\t}", "if len(lost) >= 0 {\n\t\t\tbreak\n\t\t}",
	},
	{
		"a lost race is taken for an end", "cascade.go",
		"if i < len(live) && live[i].ID == r.ID {", "if false {",
	},
	{
		"a child that has ended stops its siblings", "cascade.go",
		"if page, err = d.reread(ctx, lost); err != nil {\n\t\t\treturn false, err\n\t\t}",
		"n := len(lost)\n\t\tif page, err = d.reread(ctx, lost); err != nil || len(page) < n {\n\t\t\treturn false, err\n\t\t}",
	},
	{
		"running work is CANCELLED at once", "childcanceller.go",
		"d := Decision{Kind: k, From: s, State: to}", "d := Decision{Kind: k, From: s, State: to}\n\tif !k.HasChildren() && s == lifecycle.StateRunning {\n\t\td.State, to = lifecycle.StateCancelled, lifecycle.StateCancelled\n\t}",
	},
	{
		"running work of a parent is not waited for", "childcanceller.go",
		"if to == lifecycle.StateCancelling && !lifecycle.Executes(k, s) {", "if to == lifecycle.StateCancelling && k.HasChildren() {",
	},
	{
		"a container waits for work that it does not have", "childcanceller.go",
		"if to == lifecycle.StateCancelling && !lifecycle.Executes(k, s) {", "if to == lifecycle.StateCancelling && k != lifecycle.KindSubrequestParent {",
	},
	{
		"a second cancel moves the clock of force", "canceller.go",
		"case r.State == lifecycle.StateCancelling:\n", "case r.State == lifecycle.StateCancelling:\n\t\t\tagain := change(r, 0, r.State, r.Outcome, o.now())\n\t\t\tagain.CheckedIn = again.Cause.Time\n\t\t\tif _, err := o.applyOne(ctx, again); err != nil {\n\t\t\t\treturn node{}, err\n\t\t\t}\n",
	},
	{
		"the cause is lost", "childcanceller.go",
		"CheckedIn: r.CheckedIn, Cause: cause}", "CheckedIn: r.CheckedIn, Cause: Cause{Root: cause.Root, Time: cause.Time}}",
	},
	{
		"who acknowledges does not look at the parent", "acknowledge.go",
		"if n.ended() {\n\t\to.stopOn(o.settleUp(ctx, r.Parent))\n\t}", "",
	},
	{
		"who cancels a leaf does not look at the parent", "canceller.go",
		"if root.changed {\n\t\t\to.stopOn(o.settleUp(ctx, root.req.Parent))\n\t\t}", "",
	},
	{
		"who settles a tree does not look above it", "cascade.go",
		"if err == nil && levels[0][0].settled {", "if false {",
	},
	{
		"a parent below which nothing was found is taken to wait for its work", "settle.go",
		"n.mustLook || !n.children", "n.mustLook",
	},
	{
		"the answer of a parent's work is not read again", "settle.go",
		"if n.stale || due(n.req) == 0 {", "if n.stale {",
	},
	{
		"a parent whose child ended is not looked at", "cascade.go",
		"default:\n\t\td.parents[parent].mustLook = true", "default:",
	},
	{
		"a parent whose inner parent was settled is not looked at", "settle.go",
		"above[n.parent].mustLook = true", "_ = above",
	},
	{
		"what is CANCELLING already is not gone into", "cascade.go",
		"if n.opensBelow() {\n\t\t\tif o.visited", "if n.opensBelow() && n.changed {\n\t\t\tif o.visited",
	},
	{
		"the cascade stops after the first page", "cascade.go",
		"more = len(page) > 0", "more = false",
	},
	{
		"parents are settled before what is below them", "settle.go",
		"for l, level := range slices.Backward(levels) {", "for l, level := range levels {",
	},
	{
		"the second answer of the work takes the place of the first", "acknowledge.go",
		"case r.Outcome != 0:\n\t\t\treturn o.answerAgain(ctx, r, r.Outcome, outcome)\n", "",
	},
	{
		"work that nobody cancelled may acknowledge", "acknowledge.go",
		"case r.State != lifecycle.StateCancelling, !permitted(r, t):", "case lifecycle.Terminal.Has(r.State), t == lifecycle.TriggerForce && !permitted(r, t):",
	},
	{
		"repeating an acknowledgement does not settle what was left", "acknowledge.go",
		"o.answered(ctx, r, r.State, false)", "o.report(node{req: r, from: r.State})",
	},
	{
		"a failure reads as success", "cascade.go",
		"case err != nil:\n\t\t\t\td.take(ch.Old, ch.Old.State, DispositionFailed, err)", "case err != nil:\n\t\t\t\td.made(ch)",
	},
	{
		"a store that fails is not reported", "cascade.go",
		"// should Resume come upon it, it is for the next Resume\n\t\to.failures.add(err)", "",
	},
	{
		"one request that cannot be written stops its siblings", "cascade.go",
		"case ctx.Err() != nil || failed == maxStoreErrors:", "case true:",
	},
	{
		"the caller's context error becomes a system error", "canceller.go",
		"switch stop := ctx.Err(); {\n\tcase stop == nil:", "switch stop := ctx.Err(); {\n\tcase true:",
	},
	{
		"what is terminal may be cancelled", "canceller.go",
		"case r.State == lifecycle.StateCancelled && (from != 0 ||", "case lifecycle.Terminal.Has(r.State) && (true ||",
	},
	{
		"force does not wait", "acknowledge.go",
		"if wait := o.c.graceLeft(r); wait > 0 {", "if wait := o.c.graceLeft(r); wait > o.c.opts.Grace {",
	},
	{
		"resume does not go below what it finds", "resume.go",
		"return o.cascade(ctx, n)", "o.report(n)\n\treturn nil",
	},
	{
		"resume does not tell running work again", "resume.go",
		"tell.ids = append(tell.ids, r.ID)", "",
	},
	{
		"running children are not told", "cascade.go",
		"d.tell = append(d.tell, r.ID)", "",
	},
	{
		"the authorizer fails open", "canceller.go",
		"return esserrors.NotAuthorized(o.name, int64(o.id), err)\n\t}\n}", "return nil\n\t}\n}",
	},
}

// TestProofLibraryMutants makes one mistake after the other in package cancel, and sees
// that the tests of this package that begin with TestProof, run short, reject it, but
// not the library as it is.
func TestProofLibraryMutants(t *testing.T) {
	t.Parallel()
	switch {
	case os.Getenv(mutantRun) != "":
		t.Skip("this is the run of a mutant")
	case short():
		t.Skip("compiles the library once for every mutant")
	}
	if by, out := proofRejects(t, nil); by != "" {
		t.Fatalf("the library as it is was rejected by %s:\n%s", by, out)
	}
	rejected := 0
	for _, m := range libraryMutants {
		by, out := proofRejects(t, &m)
		if by == "" {
			t.Errorf("nobody noticed: %s\n%s", m.name, out)
			continue
		}
		rejected++
		t.Logf("%s: rejected by %s", m.name, by)
	}
	t.Logf("%d wrong libraries rejected", rejected)
}

// mutantRun is set in the environment of a test run on a mutant.
const mutantRun = "ESS_MUTANT"

// proofRejects runs the Proof tests on package cancel with m in it, or as it is, until one
// fails. It returns the name of that one, or nothing. The test whose outcome is up to the
// goroutines is left out: what is rejected once is rejected always.
func proofRejects(t *testing.T, m *libraryMutant) (test, output string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "mutant.test")
	args := []string{"test", "-c", "-vet=off", "-o", binary}
	if m != nil {
		args = append(args, "-overlay="+m.overlay(t))
	}
	if out, err := exec.CommandContext(t.Context(), "go", append(args, ".")...).CombinedOutput(); err != nil {
		t.Fatalf("it does not compile:\n%s", out)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	cmd := exec.CommandContext(ctx, binary, "-test.short", "-test.failfast", "-test.run=^TestProof", "-test.skip=^TestProofConcurrentWorlds$", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), mutantRun+"=1")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		if by, failed := strings.CutPrefix(lines.Text(), "--- FAIL: "); failed {
			stop() // the others need not run to their end
			_ = cmd.Wait()
			test, _, _ = strings.Cut(by, " ")
			return test, out.String()
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("no test failed, but: %v", err) // a panic or a timeout is nobody's verdict
	}
	return "", out.String()
}

// overlay returns a file that has the go command compile m instead of the source.
func (m *libraryMutant) overlay(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", m.file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), m.old); n != 1 {
		t.Fatalf("%s has the text %d times, so that the mutant is out of date:\n%s", m.file, n, m.old)
	}
	dir := t.TempDir()
	mutated := filepath.Join(dir, m.file)
	if err := os.WriteFile(mutated, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{path: mutated}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
