package essasynq

import (
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// A script runs in Redis, where nothing else happens meanwhile.
type script struct{ source, hash string }

var (
	//go:embed lua/common.lua
	common string

	//go:embed lua/get.lua
	getLua    string
	getScript = newScript(getLua)

	//go:embed lua/children.lua
	childrenLua    string
	childrenScript = newScript(childrenLua)

	//go:embed lua/apply.lua
	applyLua    string
	applyScript = newScript(applyLua)

	//go:embed lua/cancelchildren.lua
	cancelChildrenLua    string
	cancelChildrenScript = newScript(cancelChildrenLua)

	//go:embed lua/canceltree.lua
	cancelTreeLua    string
	cancelTreeScript = newScript(cancelTreeLua)

	//go:embed lua/settle.lua
	settleLua    string
	settleScript = newScript(settleLua)

	//go:embed lua/cancelling.lua
	cancellingLua    string
	cancellingScript = newScript(cancellingLua)

	//go:embed lua/insert.lua
	insertLua    string
	insertScript = newScript(insertLua)

	//go:embed lua/todo.lua
	todoLua    string
	todoScript = newScript(todoLua)

	//go:embed lua/enqueued.lua
	enqueuedLua    string
	enqueuedScript = newScript(enqueuedLua)

	//go:embed lua/waiting.lua
	waitingLua    string
	waitingScript = newScript(waitingLua)
)

func newScript(body string) script {
	source := rules() + common + body
	hash := sha1.Sum([]byte(source)) // by which Redis knows it
	return script{source, hex.EncodeToString(hash[:])}
}

// rules writes the rules of package lifecycle out for the scripts.
func rules() string {
	var b strings.Builder
	set := func(name string, members ...string) {
		fmt.Fprintf(&b, "local %s = {", name)
		for _, m := range members {
			fmt.Fprintf(&b, "['%s']=true,", m)
		}
		b.WriteString("}\n")
	}
	set("TERMINAL", names(lifecycle.Terminal)...)
	set("STATES", names(lifecycle.Live|lifecycle.Terminal)...)
	set("OUTCOMES", names(lifecycle.Outcomes)...)
	var kinds, parents, working, admitting []string
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
	set("KINDS", kinds...)
	set("PARENTS", parents...)
	set("WORKING", working...)
	set("ADMITTING", admitting...)
	b.WriteString("local DECIDE = {")
	for d := range cancel.Decisions() {
		fmt.Fprintf(&b, "['%v %v']={'%v','%s'},", d.Kind, d.From, d.State, stateName(d.Outcome))
	}
	b.WriteString("}\n")
	return b.String()
}

func names(states lifecycle.StateSet) []string {
	var names []string
	for s := range states.All() {
		names = append(names, s.String())
	}
	return names
}
