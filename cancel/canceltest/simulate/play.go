package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/canceltest"
	"example.com/ess/cancel/canceltest/internal/rows"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// PlayScript plays a script that a [ScriptError] has printed, and compares the requests
// after each command with a model of the rules. It returns nil or a *ScriptError.
//
// A script is a store, the requests, and commands, with an empty line between them:
//
//	plain, pages of 2
//
//	1 PARENT RUNNING
//	  2 CHILD WAIT
//	  3 CHILD RUNNING
//
//	transition 2 dispatch
//	cancel 1, crash after call 3
//	resume
//	acknowledge 3 SUCCEEDED
//
// Whatever goes wrong on purpose is made good by Resume before the next command.
func PlayScript(ctx context.Context, h canceltest.Harness, text string) error {
	sc, err := parseScript(text)
	if err != nil {
		return err
	}
	_, err = sc.play(ctx, h, "the script")
	return err
}

// A modelRun is a script being played, with the model beside the store.
type modelRun struct {
	*testStore
	h     canceltest.Harness
	model *model
	// After a command with which something went wrong, until that is made good:
	fault   *command // the command
	before  *model   // the rules before it
	choices []*model // the rules with and without it
}

// play plays the script and returns how many of its commands were played.
func (sc script) play(ctx context.Context, h canceltest.Harness, title string) (played int, err error) {
	err = rows.With(ctx, h.New, h.Close, sc.requests, func(repo cancel.Repository) error {
		st, err := newTestStore(ctx, repo, sc.requests, sc.setup)
		if err != nil {
			return err
		}
		st.loose = len(sc.requests) > 50 // looking after every write would take long
		p := &modelRun{testStore: st, h: h, model: newModel(sc.requests, st.now)}
		_, ender := repo.(cancel.ParentEnder)
		p.model.ender = ender && sc.view != viewPlain
		for _, c := range sc.commands {
			played++
			if err := p.run(ctx, c); err != nil {
				return st.failure(title, err, p.wanted())
			}
		}
		if p.fault != nil {
			if err := p.makeGood(ctx); err != nil {
				return st.failure(title, err, p.wanted())
			}
		}
		return nil
	})
	return played, err
}

// wanted returns the requests as the model has them.
func (p *modelRun) wanted() canceltest.Snapshot {
	if p.fault != nil {
		return nil
	}
	s := canceltest.Snapshot{}
	for _, m := range p.model.requests {
		r := lifecycle.Request{ID: lifecycle.ID(m.id), Parent: lifecycle.ID(m.parent), CheckedIn: m.since, Attempt: m.attempt}
		err := errors.Join(r.Kind.UnmarshalText([]byte(m.kind)), r.State.UnmarshalText([]byte(m.state)))
		if m.outcome != "" {
			err = errors.Join(err, r.Outcome.UnmarshalText([]byte(m.outcome)))
		}
		if err == nil {
			s[r.ID] = r
		}
	}
	return s
}

func (p *modelRun) run(ctx context.Context, c command) error {
	if p.fault != nil {
		same := c
		same.fault = p.fault.fault
		switch {
		case c.op == "resume" && c.fault == (fault{}):
			return p.makeGood(ctx)
		case c.op == "resume":
			_, err := p.play(ctx, c)
			return err
		case same == *p.fault && c.fault == (fault{}) && c.op != "transition":
			return p.again(ctx, c)
		}
		if err := p.makeGood(ctx); err != nil {
			return err
		}
	}
	switch c.op {
	case "wait":
		p.now = p.now.Add(c.wait)
		p.played = append(p.played, &played{command: c, before: p.snap, after: p.snap})
		return nil
	case "submit", "delete":
		return p.schedule(ctx, c)
	}
	var before *model
	if c.fault != (fault{}) {
		before = p.model.clone()
	}
	a, err := p.play(ctx, c)
	p.model.now = p.now
	if err != nil {
		p.model.do(c) // for the report
		return err
	}
	if form := faultForms[c.fault.form]; a.struck && form.may != mayNothing {
		p.fault, p.before = &c, before
		p.choices = []*model{before.clone(), p.model}
		p.model.do(c)
		return nil
	}
	return p.compare(a, c)
}

// compare compares what a command did with what the rules say.
func (p *modelRun) compare(a *played, c command) error {
	m := p.model
	if c.op == "plan" { // as a cancel, but of nothing
		m = p.model.clone()
		c.op = "cancel"
	}
	if errors.Is(a.err, errors.ErrUnsupported) {
		m.ender = false // the store declines
	}
	want := m.do(c)
	if got := codeText(a.err); got != want {
		return fmt.Errorf("%q ends with %q (%v), the rules say %q", a.command, got, a.err, want)
	}
	if a.op == "checkin" {
		if r := m.requests[int64(c.id)]; r != nil && a.err == nil && a.in.Cancelling != (r.state == "CANCELLING") {
			return fmt.Errorf("%q tells the work cancelling = %v, the rules say %s", a.command, a.in.Cancelling, r.text())
		}
	} else if a.op != "transition" {
		counts := map[string]int{}
		for d := range cancel.Dispositions() {
			if n := a.result.Counts[d]; n > 0 {
				counts[d.String()] = n
			}
		}
		if !maps.Equal(counts, m.counts()) {
			return fmt.Errorf("%q counts %v, the rules say %v", a.command, a.result.Counts, m.counts())
		}
		told := map[int64]bool{}
		for id := range a.told {
			told[int64(id)] = true
		}
		if a.op != "plan" && !maps.Equal(told, m.told) {
			return fmt.Errorf("%q told the work of %v to stop, the rules say %v", a.command, slices.Sorted(maps.Keys(told)), slices.Sorted(maps.Keys(m.told)))
		}
	}
	return p.model.differences(p.snap, false)
}

// makeGood resumes after something went wrong, and finds out whether the command had
// been done.
func (p *modelRun) makeGood(ctx context.Context) error {
	a, err := p.play(ctx, resume)
	if err != nil {
		return err
	}
	if a.err != nil {
		return fmt.Errorf("resume failed: %w", a.err)
	}
	var errs []error
	for i, m := range p.choices {
		m.now = p.now
		m.resume()
		if err := m.differences(p.snap, true); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", []string{"as if it had not been done", "as if it had been done"}[i], err))
			continue
		}
		p.settleOn(m)
		return nil
	}
	return fmt.Errorf("7 (stopped anywhere, resumed): after %q and Resume the requests are neither\n%w", *p.fault, errors.Join(errs...))
}

// settleOn goes on with m, which the store agrees with but for the clocks.
func (p *modelRun) settleOn(m *model) {
	for id, r := range m.requests {
		r.since, r.attempt = p.snap[lifecycle.ID(id)].CheckedIn, p.snap[lifecycle.ID(id)].Attempt
	}
	p.model, p.fault, p.before, p.choices = m, nil, nil, nil
}

// again repeats the command with which something went wrong, as a caller does that
// got no answer.
func (p *modelRun) again(ctx context.Context, c command) error {
	a, err := p.play(ctx, c)
	if err != nil {
		return err
	}
	m := p.before.clone()
	m.now = p.now
	want := m.do(c)
	got := codeText(a.err)
	if got == modelUnsupported && c.op != "acknowledge" && lifecycle.Terminal.Has(a.before[c.id].State) {
		return nil // it had been done; what is left is for Resume
	}
	if got != want {
		return fmt.Errorf("6 (again): repeated, %q ends with %q (%v), the rules say %q", c, got, a.err, want)
	}
	if err := m.differences(p.snap, true); err != nil {
		return fmt.Errorf("6 (again): repeated, %q does not get there: %w", c, err)
	}
	p.settleOn(m)
	return nil
}

// schedule does what a scheduler does by itself: it submits a request, or deletes one that
// has ended.
func (p *modelRun) schedule(ctx context.Context, c command) error {
	p.now = p.now.Add(time.Second)
	p.model.now = p.now
	a := &played{command: c, before: p.snap}
	p.played = append(p.played, a)
	want := modelOK
	switch submit := p.submitter(); {
	case c.op == "submit" && submit == nil, c.op == "delete" && p.h.Delete == nil:
		return nil
	case c.op == "submit":
		a.err = submit(ctx, c.request)
		want = p.model.do(c)
	default:
		if ids := p.model.remove(int64(c.id)); len(ids) > 0 {
			a.err = p.h.Delete(ctx, p.repo, ids)
		}
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	a.after = p.snap
	if got := codeText(a.err); got != want {
		return fmt.Errorf("%q ends with %q (%v), the rules say %q", c, got, a.err, want)
	}
	return p.model.differences(p.snap, false)
}

// submitter returns how a request is inserted if its parent admits one: as the store does
// it, or with Harness.Insert, for nobody else is at work.
func (p *modelRun) submitter() func(ctx context.Context, r lifecycle.Request) error {
	if own := rows.Submitter(p.h.Submit, p.repo); own != nil || p.h.Insert == nil {
		return own
	}
	return func(ctx context.Context, r lifecycle.Request) error {
		if parent, ok := p.snap[r.Parent]; r.Parent != 0 {
			if !ok {
				return esserrors.NotFound("submit", int64(r.Parent), nil)
			}
			if err := lifecycle.Admit(parent); err != nil {
				return err
			}
		}
		return p.h.Insert(ctx, p.repo, []lifecycle.Request{r})
	}
}
