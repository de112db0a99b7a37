package simulate

import (
	"slices"
	"strings"
	"time"

	"example.com/ess/lifecycle"
)

// A model is the rules of cancelling once more, written to be read: by name, one
// request at a time, recursive, deaf to page sizes and to everything that can go
// wrong. It shares nothing with packages lifecycle and cancel, so that a mistake
// there is not made here too.
type model struct {
	requests map[int64]*modelRequest
	grace    time.Duration
	now      time.Time
	ender    bool // the store can end a parent that admits children

	// Of the last command:
	touched map[int64]modelRequest // as they were before
	told    map[int64]bool         // whose work was told to stop
}

// A modelRequest is a request. Kind, state and outcome are names.
type modelRequest struct {
	id, parent           int64
	kind, state, outcome string
	since                time.Time
	attempt              int
	kids                 []*modelRequest
}

const (
	modelTerminal = "EXPIRED CANCELLED ERROR WARNING SUCCEEDED VALIDATION_FAILED FINISHED"
	modelOutcomes = "CANCELLED SUCCEEDED WARNING ERROR"

	modelOK          = ""
	modelUnsupported = "unsupported state"
	modelNotFound    = "request not found"
	modelConflict    = "conflict"
)

// modelLife is how a scheduler moves its requests: trigger, from, to and, where it is not
// for all, the kind.
var modelLife = modelTable(`
	validate          PENDING_VALIDATION                              WAIT
	invalidate        PENDING_VALIDATION                              VALIDATION_FAILED
	dispatch          WAIT,BLOCKED                                    READY
	block             WAIT,READY                                      BLOCKED
	hold              WAIT,READY                                      HOLD
	release           HOLD                                            WAIT
	start             READY                                           RUNNING
	pause             RUNNING                                         PAUSED              SUBREQUEST_PARENT
	resume            PAUSED                                          RUNNING             SUBREQUEST_PARENT
	complete          RUNNING                                         COMPLETED
	succeed           COMPLETED,ERROR_MANUAL_RECOVERY                 SUCCEEDED
	warn              COMPLETED,ERROR_MANUAL_RECOVERY                 WARNING
	fail              RUNNING,ERROR_AUTO_RETRY,ERROR_MANUAL_RECOVERY  ERROR
	fail_retryable    RUNNING                                         ERROR_AUTO_RETRY
	fail_recoverable  RUNNING                                         ERROR_MANUAL_RECOVERY
	retry             ERROR_AUTO_RETRY                                WAIT
	recover           ERROR_MANUAL_RECOVERY                           WAIT
	expire            WAIT,READY,BLOCKED,HOLD                         EXPIRED
	end_schedule      WAIT,HOLD,RUNNING                               SCHEDULE_ENDED      PARENT
	finish            SCHEDULE_ENDED                                  FINISHED            PARENT
`)

// modelTable returns trigger -> from -> to and kind.
func modelTable(text string) map[string]map[string][2]string {
	table := map[string]map[string][2]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		words := append(strings.Fields(line), "")
		table[words[0]] = map[string][2]string{}
		for from := range strings.SplitSeq(words[1], ",") {
			table[words[0]][from] = [2]string{words[2], words[3]}
		}
	}
	return table
}

func modelIn(word, list string) bool { return slices.Contains(strings.Fields(list), word) }

func (r *modelRequest) live() bool      { return !modelIn(r.state, modelTerminal) }
func (r *modelRequest) runsWork() bool  { return r.kind != "PARENT" }
func (r *modelRequest) hasKids() bool   { return modelIn(r.kind, "PARENT SUBREQUEST_PARENT") }
func (r *modelRequest) executing() bool { return r.runsWork() && modelIn(r.state, "RUNNING COMPLETED") }

func (r *modelRequest) liveKid() bool {
	return slices.ContainsFunc(r.kids, (*modelRequest).live)
}

// admits says whether r may get a child now.
func (r *modelRequest) admits() bool {
	return r.hasKids() && r.live() && !modelIn(r.state, "CANCELLING COMPLETED SCHEDULE_ENDED")
}

// cancelled says what becomes of r, which is live, when it is cancelled.
func (r *modelRequest) cancelled() (state, outcome string) {
	switch {
	case r.state == "CANCELLING":
		return r.state, r.outcome
	case r.executing():
		return "CANCELLING", ""
	case r.hasKids():
		return "CANCELLING", "CANCELLED"
	default:
		return "CANCELLED", ""
	}
}

// waits says whether r, which is CANCELLING, waits for anything.
func (r *modelRequest) waits() bool {
	return r.runsWork() && r.outcome == "" || r.liveKid()
}

func (m *model) begin() {
	m.touched, m.told = map[int64]modelRequest{}, map[int64]bool{}
}

// touch notes that a command has to do with r.
func (m *model) touch(r *modelRequest) {
	if _, ok := m.touched[r.id]; !ok {
		m.touched[r.id] = *r
	}
}

// interrupt has the work of r told, if it has to stop.
func (m *model) interrupt(r *modelRequest) {
	if r.state == "CANCELLING" && r.runsWork() && r.outcome == "" {
		m.told[r.id] = true
	}
}

// mark cancels r and nothing else.
func (m *model) mark(r *modelRequest) {
	m.touch(r)
	was := r.state
	r.state, r.outcome = r.cancelled()
	if was != "CANCELLING" && r.state == "CANCELLING" {
		r.since = m.now
	}
	m.interrupt(r)
}

// settle ends r if it is CANCELLING and waits for nothing.
func (m *model) settle(r *modelRequest) {
	if r.state != "CANCELLING" || r.waits() {
		return
	}
	m.touch(r)
	if r.outcome == "" {
		r.outcome = "CANCELLED"
	}
	r.state, r.outcome = r.outcome, ""
}

// settleUp ends the requests above r that waited for it only.
func (m *model) settleUp(r *modelRequest) {
	for p := m.requests[r.parent]; p != nil && !r.live(); p = m.requests[p.parent] {
		m.settle(p)
		r = p
	}
}

// sweep cancels r, which is live, and everything below it.
func (m *model) sweep(r *modelRequest) {
	m.mark(r)
	for _, kid := range r.kids {
		if kid.live() {
			m.sweep(kid)
		}
	}
	m.settle(r)
}

// cancel is Cancel if whole is set, and Fence otherwise.
func (m *model) cancel(id int64, whole bool) string {
	m.begin()
	r := m.requests[id]
	switch {
	case r == nil:
		return modelNotFound
	case !r.live():
		return modelUnsupported
	case whole:
		m.sweep(r)
	default:
		m.mark(r)
	}
	m.settleUp(r)
	return modelOK
}

// acknowledge is Acknowledge.
func (m *model) acknowledge(id int64, outcome string) string {
	m.begin()
	r := m.requests[id]
	switch {
	case !modelIn(outcome, modelOutcomes):
		return modelUnsupported
	case r == nil:
		return modelNotFound
	case !r.runsWork():
		return modelUnsupported
	case !r.live():
		return m.answer(r, outcome, r.state)
	case r.state != "CANCELLING":
		return modelUnsupported
	default:
		return m.answer(r, outcome, r.outcome)
	}
}

// force is Force.
func (m *model) force(id int64) string {
	m.begin()
	r := m.requests[id]
	switch {
	case r == nil:
		return modelNotFound
	case !r.runsWork() || r.state != "CANCELLING":
		return modelUnsupported
	case r.outcome != "":
		return m.answer(r, r.outcome, r.outcome)
	case !r.since.IsZero() && m.now.Before(r.since.Add(m.grace)):
		return modelConflict
	default:
		return m.answer(r, "CANCELLED", "")
	}
}

// answer keeps the answer of r's work, which has answered with before or not at all.
func (m *model) answer(r *modelRequest, outcome, before string) string {
	m.touch(r)
	if before == "" {
		r.outcome = outcome
	}
	m.settle(r)
	m.settleUp(r)
	if before != "" && before != outcome {
		return modelConflict
	}
	return modelOK
}

// checkIn is CheckIn.
func (m *model) checkIn(id int64) (cancelling bool, code string) {
	m.begin()
	r := m.requests[id]
	switch {
	case r == nil:
		return false, modelNotFound
	case !r.live():
		return false, modelUnsupported
	}
	if r.state == "CANCELLING" && r.runsWork() && r.outcome == "" {
		r.since = m.now
	}
	return r.state == "CANCELLING", modelOK
}

// resume is Resume.
func (m *model) resume() string {
	m.begin()
	var walk func(r *modelRequest)
	walk = func(r *modelRequest) {
		if r.state == "CANCELLING" {
			m.sweep(r)
			return
		}
		for _, kid := range r.kids {
			walk(kid)
		}
	}
	for _, r := range m.requests {
		if m.requests[r.parent] == nil {
			walk(r)
		}
	}
	return modelOK
}

// transition is Transition.
func (m *model) transition(id int64, trigger string) string {
	m.begin()
	r := m.requests[id]
	if r == nil {
		return modelNotFound
	}
	to, ok := modelLife[trigger][r.state]
	ends := modelIn(to[0], modelTerminal)
	switch {
	case !ok || to[1] != "" && to[1] != r.kind:
		return modelUnsupported
	case ends && r.liveKid():
		return modelConflict
	case ends && r.admits() && !m.ender:
		return modelUnsupported
	}
	r.state = to[0]
	if r.runsWork() && modelIn(trigger, "start resume") {
		r.attempt++
	}
	m.settleUp(r)
	return modelOK
}

// remove is the deletion of a request that has ended, and of what is below it.
func (m *model) remove(id int64) (ids []lifecycle.ID) {
	m.begin()
	r := m.requests[id]
	if r == nil || r.live() {
		return nil
	}
	for _, kid := range slices.Clone(r.kids) {
		ids = append(ids, m.remove(kid.id)...)
	}
	delete(m.requests, id)
	if parent := m.requests[r.parent]; parent != nil {
		parent.kids = slices.DeleteFunc(parent.kids, func(kid *modelRequest) bool { return kid == r })
	}
	return append(ids, lifecycle.ID(id))
}

// submit is what a scheduler does with a new request.
func (m *model) submit(r modelRequest) string {
	m.begin()
	parent := m.requests[r.parent]
	switch {
	case r.parent == 0:
	case parent == nil:
		return modelNotFound
	case !parent.admits():
		return modelUnsupported
	}
	m.insert(r)
	return modelOK
}

func (m *model) insert(r modelRequest) {
	m.requests[r.id] = &r
	if parent := m.requests[r.parent]; parent != nil {
		parent.kids = append(parent.kids, &r)
	}
}

// counts says in words what the last command did to the requests that it touched.
func (m *model) counts() map[string]int {
	counts := map[string]int{}
	for id, was := range m.touched {
		counts[disposed(was, *m.requests[id])]++
	}
	return counts
}

func disposed(was, is modelRequest) string {
	switch {
	case !was.live():
		return "ended"
	case was.state == "CANCELLING" && !is.live():
		return "settled"
	case was.state == "CANCELLING" && was.outcome != is.outcome:
		return "recorded"
	case was.state == "CANCELLING":
		return "already cancelling"
	case is.state == "CANCELLING":
		return "cancelling"
	default:
		return "cancelled"
	}
}
