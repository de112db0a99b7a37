package simulate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	"example.com/ess/cancel/canceltest/internal/show"
	"example.com/ess/lifecycle"
)

// modelOf returns a request as the model sees it, without its children.
func modelOf(r lifecycle.Request) modelRequest {
	m := modelRequest{id: int64(r.ID), parent: int64(r.Parent), kind: r.Kind.String(), state: r.State.String(), since: r.CheckedIn, attempt: r.Attempt}
	if r.Outcome != 0 {
		m.outcome = r.Outcome.String()
	}
	return m
}

// newModel returns a model of the requests.
func newModel(requests []lifecycle.Request, now time.Time) *model {
	m := &model{requests: map[int64]*modelRequest{}, grace: 30 * time.Minute, now: now}
	for _, r := range requests {
		m.insert(modelOf(r))
	}
	return m
}

// clone returns a copy that shares nothing with m.
func (m *model) clone() *model {
	c := &model{requests: make(map[int64]*modelRequest, len(m.requests)), grace: m.grace, now: m.now, ender: m.ender}
	for id, r := range m.requests {
		r := *r
		r.kids = nil
		c.requests[id] = &r
	}
	for _, r := range c.requests {
		if parent := c.requests[r.parent]; parent != nil {
			parent.kids = append(parent.kids, r)
		}
	}
	return c
}

// do does the command and returns the code of its error.
func (m *model) do(c command) string {
	switch id := int64(c.id); c.op {
	case "cancel", "execute":
		return m.cancel(id, true)
	case "begin":
		return m.cancel(id, false)
	case "acknowledge":
		return m.acknowledge(id, c.outcome.String())
	case "force":
		return m.force(id)
	case "checkin":
		_, code := m.checkIn(id)
		return code
	case "resume":
		return m.resume()
	case "transition":
		return m.transition(id, c.trigger.String())
	case "delete":
		m.remove(id)
		return modelOK
	case "submit":
		return m.submit(modelOf(c.request))
	default:
		m.begin()
		return modelOK
	}
}

// differences says which requests are not as the model has them. untimed leaves the
// clocks out.
func (m *model) differences(s canceltest.Snapshot, untimed bool) error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(m.requests)) {
		want := m.requests[id]
		r, ok := s[lifecycle.ID(id)]
		is := modelOf(r)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("request %d is not in the store", id))
		case is.state != want.state || is.outcome != want.outcome:
			errs = append(errs, fmt.Errorf("request %d is %s, the rules say %s", id, is.text(), want.text()))
		case is.attempt != 0 && is.attempt != want.attempt: // a store need not keep it
			errs = append(errs, fmt.Errorf("request %d has attempt %d, the rules say %d", id, is.attempt, want.attempt))
		case !untimed && !is.since.Equal(want.since):
			errs = append(errs, fmt.Errorf("request %d checked in at %v, the rules say %v", id, is.since, want.since))
		}
	}
	if len(s) > len(m.requests) {
		errs = append(errs, fmt.Errorf("the store has %d requests, there should be %d", len(s), len(m.requests)))
	}
	return show.Errors(errs)
}

func (r *modelRequest) text() string {
	if r.outcome != "" {
		return r.state + " (then " + r.outcome + ")"
	}
	return r.state
}

// audit checks what one call of the store has changed: whether a command of that kind
// may change these requests, and in this way.
func audit(c command, before, after canceltest.Snapshot, now time.Time) error {
	var errs []error
	for id, is := range after {
		was, ok := before[id]
		if !ok || rows.SameState(was, is) {
			continue
		}
		if err := auditChange(c, before[was.Parent].State == lifecycle.StateCancelling || after[was.Parent].State == lifecycle.StateCancelling, was, is, now); err != nil {
			errs = append(errs, fmt.Errorf("%q changed request %d from %s to %s: %w", c, id, show.State(was), show.State(is), err))
		}
	}
	return show.Errors(errs)
}

func auditChange(c command, fenced bool, was, is lifecycle.Request, now time.Time) error {
	r, to := modelOf(was), modelOf(is)
	target := c.id == was.ID
	answers := target && (c.op == "acknowledge" || c.op == "force")
	moved := !to.since.Equal(r.since)
	switch {
	case c.op == "plan":
		return errors.New("a plan changes nothing")
	case !r.live():
		return errors.New("1 (terminal is final)")
	case c.op == "transition" && target:
		if next := modelLife[c.trigger.String()][r.state]; next[0] != to.state || to.outcome != "" || moved {
			return errors.New("2 (only rules' transitions): no rule permits it")
		}
		return nil
	case r.state != "CANCELLING":
		state, outcome := r.cancelled()
		switch {
		case to.state != state || to.outcome != outcome:
			return fmt.Errorf("2 (only rules' transitions): a cancel makes it %s", (&modelRequest{state: state, outcome: outcome}).text())
		case to.attempt != r.attempt:
			return errors.New("a cancel is no attempt")
		case moved && (to.state != "CANCELLING" || !to.since.Equal(now)), !moved && to.state == "CANCELLING":
			return fmt.Errorf("5 (a way out): the clock of Force says %v at %v", to.since, now)
		case c.op != "cancel" && c.op != "execute" && c.op != "resume" && (c.op != "begin" || !target):
			return errors.New("it cancels nothing")
		case !target && !fenced:
			return errors.New("3 (no escape): its parent admits children")
		}
		return nil
	case to.state == "CANCELLING" && moved:
		if c.op != "checkin" || !target || !to.since.Equal(now) || to.outcome != r.outcome {
			return errors.New("5 (a way out): the clock of Force moves with check-ins only")
		}
		return nil
	case r.outcome == "" && to.outcome == "" && answers && r.runsWork(), to.state == "CANCELLING" && answers:
		if want := c.answer(); to.state != want && to.outcome != want {
			return fmt.Errorf("9 (work has the last word): the answer was %s", want)
		}
		if c.op == "force" && !r.since.IsZero() && now.Before(r.since.Add(30*time.Minute)) {
			return errors.New("9 (work has the last word): it was forced before its time")
		}
		return nil
	case moved:
		return errors.New("5 (a way out): the clock of Force moved when it ended")
	case r.outcome == "" && r.runsWork():
		return errors.New("9 (work has the last word): its work has not answered")
	case r.outcome == "" && to.state != "CANCELLED", r.outcome != "" && to.state != r.outcome:
		return errors.New("8 (receipts are true): that is not the answer that was kept")
	default:
		return nil
	}
}

// answer returns the state that an acknowledge or force asks for.
func (c command) answer() string {
	if c.op == "force" {
		return "CANCELLED"
	}
	return c.outcome.String()
}

// An effect is a change of a state or outcome that was made.
type effect struct {
	id             lifecycle.ID
	trigger        lifecycle.Trigger
	state, outcome lifecycle.State
}

// effectsOf returns what a call has changed, as far as the store said, whoever heard it.
func effectsOf(c canceltest.Call) []effect {
	var made []effect
	add := func(ch cancel.Change) {
		if ch.Trigger != 0 {
			made = append(made, effect{ch.Old.ID, ch.Trigger, ch.State, ch.Outcome})
		}
	}
	for i, ch := range c.Changes {
		if i < len(c.Made) && c.Made[i] {
			add(ch)
		}
	}
	named := c.Page.Changes
	if c.Method == "CancelTree" || c.Method == "Settle" {
		named = c.Changes
	}
	for _, ch := range named {
		if ch.State != ch.Old.State {
			add(ch)
		}
	}
	return made
}
