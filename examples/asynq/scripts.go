package essasynq

import (
	"crypto/sha1"
	"embed"
	"encoding/hex"
	"fmt"
	"iter"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A script runs in Redis, where nothing else happens meanwhile.
type script struct{ source, hash string }

var (
	childrenScript       = newScript("readable", "scan", "children")
	applyScript          = newScript("readable", "write", "apply")
	cancelChildrenScript = newScript("readable", "write", "scan", "cancel", "cancelchildren")
	cancelTreeScript     = newScript("readable", "write", "cancel", "canceltree")
	settleScript         = newScript("readable", "write", "settle")
	cancellingScript     = newScript("cancelling")
	insertScript         = newScript("readable", "insert")
	todoScript           = newScript("todo")
	enqueuedScript       = newScript("enqueued")
	waitingScript        = newScript("waiting")
	idleScript           = newScript("idle")
)

//go:embed lua/*.lua
var lua embed.FS

// newScript returns the script that is made of some files.
func newScript(files ...string) script {
	var body strings.Builder
	for _, name := range append([]string{"common"}, files...) {
		b, err := lua.ReadFile("lua/" + name + ".lua")
		if err != nil {
			panic(err) // a mistake in this file
		}
		body.Write(b)
	}
	var source strings.Builder
	for name, table := range rules() {
		if strings.Contains(body.String(), name+"[") { // to make all of them takes as long as most scripts
			fmt.Fprintf(&source, "local %s = {%s}\n", name, table)
		}
	}
	source.WriteString(body.String())
	hash := sha1.Sum([]byte(source.String())) // by which Redis knows it
	return script{source.String(), hex.EncodeToString(hash[:])}
}

// rules yields the rules of package lifecycle as tables of the scripts.
func rules() iter.Seq2[string, string] {
	return func(yield func(name, table string) bool) {
		var parents, working, kinds, admitting, decide []string
		for k := range lifecycle.Kinds() {
			kinds = append(kinds, k.String())
			if k.HasChildren() {
				parents = append(parents, k.String())
			}
			if k.RunsWork() {
				working = append(working, k.String())
			}
			for s := range lifecycle.States() {
				if lifecycle.AdmitsChildren(k, s) {
					admitting = append(admitting, k.String()+" "+s.String())
				}
			}
		}
		for d := range cancel.Decisions() {
			decide = append(decide, fmt.Sprintf("['%v %v']={'%v','%s'}", d.Kind, d.From, d.State, stateName(d.Outcome)))
		}
		_ = yield("TERMINAL", set(names(lifecycle.Terminal)...)) &&
			yield("STATES", set(names(lifecycle.Live|lifecycle.Terminal)...)) &&
			yield("OUTCOMES", set(names(lifecycle.Outcomes)...)) &&
			yield("KINDS", set(kinds...)) && yield("PARENTS", set(parents...)) && yield("WORKING", set(working...)) &&
			yield("ADMITTING", set(admitting...)) && yield("DECIDE", strings.Join(decide, ","))
	}
}

// set returns a set as the inside of a table.
func set(members ...string) string {
	var b strings.Builder
	for _, m := range members {
		fmt.Fprintf(&b, "['%s']=true,", m)
	}
	return b.String()
}

func names(states lifecycle.StateSet) []string {
	var names []string
	for s := range states.All() {
		names = append(names, s.String())
	}
	return names
}
