package cancel

import (
	"context"
	"fmt"
	"strings"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// A Plan is what [Canceller.Cancel] would do. It encodes to JSON and back, so that
// somebody can look at it, and another process can execute it.
type Plan struct {
	// Order is the order that would be carried out. JSON lacks its Receipt.
	Order Order `json:"order"`
	// Steps are the changes in the order in which they would be made.
	Steps []Step `json:"steps"`
	// Interrupts are the requests whose work would be told to stop, if there is an
	// [Interrupter].
	Interrupts []lifecycle.ID `json:"interrupts,omitempty"`
	// Result is what Cancel would return, if there is an Interrupter.
	Result Result `json:"result"`
}

// A Step is one change of a [Plan].
type Step struct {
	// Request is the request before the step.
	Request lifecycle.Request `json:"request"`
	// State is the state of the request after the step.
	State lifecycle.State `json:"state"`
	// Rule is the rule that permits the step.
	Rule lifecycle.Rule `json:"rule"`
}

// String returns a line such as "7 RUNNING -> CANCELLING by cancel (spec)".
func (s Step) String() string {
	return fmt.Sprintf("%d %v -> %v by %v (%v)", s.Request.ID, s.Request.State, s.State, s.Rule.Trigger, s.Rule.Source)
}

// Plan returns what Cancel would do, and writes nothing. It runs the code of Cancel over a
// view of the store that keeps all writes in memory. So it costs the reads of a cancel in
// a store without capabilities, and memory in proportion to the requests that would be
// changed.
//
// Plan asks the [Authorizer], and returns the error that Cancel would return. It calls no
// hooks, no Interrupter and no order.Receipt.
func (c *Canceller) Plan(ctx context.Context, order Order) (Plan, error) {
	plan := Plan{Order: order}
	view := &dryRun{Repository: c.repo, written: map[lifecycle.ID]lifecycle.Request{}, steps: &plan.Steps}
	dry := &Canceller{repo: view, opts: c.opts}
	dry.opts.Hooks = Hooks{}
	dry.opts.Interrupter = InterrupterFunc(func(_ context.Context, ids []lifecycle.ID, _ Cause) error {
		plan.Interrupts = append(plan.Interrupts, ids...)
		return nil
	})
	order.Receipt = nil
	res, err := dry.Cancel(ctx, order)
	plan.Result = res
	return plan, err
}

// ExecutePlan carries out plan.Order if the tree still is as planned. If it is not,
// ExecutePlan changes nothing and returns an error with [esserrors.CodeConflict] whose
// cause is a [*PlanError], which says what differs. Other errors are those of Cancel. All
// this is a decision.
//
// The tree is compared before the first write. A request that changes after the
// comparison, before this call has written to it, is left as it is, with
// DispositionConflict and an error with CodeConflict. What this call has written by then
// stays written: if the request is below one that this call has made CANCELLING, the
// next Resume cancels it.
func (c *Canceller) ExecutePlan(ctx context.Context, plan Plan) (Result, error) {
	now, err := c.Plan(ctx, plan.Order)
	if err != nil {
		return Result{}, err
	}
	if diff := differences(plan.Steps, now.Steps); len(diff) > 0 {
		return Result{}, esserrors.Conflict("cancel", int64(plan.Order.ID), "The requests are not as planned.", &PlanError{diff})
	}
	o := c.operation(OpCancel, plan.Order)
	o.planned = firstSteps(plan.Steps)
	return o.run(ctx, func(ctx context.Context) error { return o.cancel(ctx, true) })
}

// A PlanError says in what a tree differs from a plan.
type PlanError struct {
	Differences []Difference // not empty
}

// A Difference is a request that is not as planned.
type Difference struct {
	ID lifecycle.ID
	// Planned is the first step of the plan for the request, and Found the one that
	// would be made now. The zero Step means that there is none.
	Planned, Found Step
}

// Error lists up to three differences.
func (e *PlanError) Error() string {
	var parts []string
	for _, d := range e.Differences[:min(3, len(e.Differences))] {
		parts = append(parts, d.String())
	}
	if more := len(e.Differences) - 3; more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return "cancel: not as planned: " + strings.Join(parts, "; ")
}

// String returns a line such as "request 7: planned WAIT -> CANCELLED, found nothing to do".
func (d Difference) String() string {
	show := func(s Step) string {
		if s.Request.ID == 0 {
			return "nothing to do"
		}
		return fmt.Sprintf("%v -> %v", s.Request.State, s.State)
	}
	return fmt.Sprintf("request %d: planned %s, found %s", d.ID, show(d.Planned), show(d.Found))
}

// firstSteps returns the first step for each request. The others follow from the first.
func firstSteps(steps []Step) map[lifecycle.ID]Step {
	first := make(map[lifecycle.ID]Step, len(steps))
	for _, s := range steps {
		if _, ok := first[s.Request.ID]; !ok {
			first[s.Request.ID] = s
		}
	}
	return first
}

// differences returns the requests whose first steps differ, in the order of planned, and
// then those that only found has.
func differences(planned, found []Step) []Difference {
	was, is := firstSteps(planned), firstSteps(found)
	var diff []Difference
	compare := func(id lifecycle.ID) {
		p, planned := was[id]
		f, found := is[id]
		if planned != found || !sameStep(p, f) {
			diff = append(diff, Difference{ID: id, Planned: p, Found: f})
		}
		delete(was, id)
		delete(is, id)
	}
	for _, s := range planned {
		compare(s.Request.ID)
	}
	for _, s := range found {
		compare(s.Request.ID)
	}
	return diff
}

// sameStep reports whether a and b are the same decision about the same request. It does
// not compare what no decision depends on, such as CheckedIn.
func sameStep(a, b Step) bool {
	return a.Request.Kind == b.Request.Kind && a.Request.Parent == b.Request.Parent &&
		a.Request.State == b.Request.State && a.Request.Outcome == b.Request.Outcome && a.State == b.State
}

// asPlanned reports whether the operation may make ch: there is no plan, or ch is in it.
func (o *operation) asPlanned(ch Change) bool {
	if o.planned == nil {
		return true
	}
	s, ok := o.planned[ch.Old.ID]
	return ok && sameStep(s, Step{Request: ch.Old, State: ch.State})
}

// unplanned returns the error about a request that is not as planned.
func (o *operation) unplanned(id lifecycle.ID) error {
	return esserrors.Conflict(o.verb, int64(id), fmt.Sprintf("Request %d is not as planned.", id), nil)
}

// A dryRun is a view of a Repository that keeps the writes in memory. It has no
// capabilities.
type dryRun struct {
	Repository
	written map[lifecycle.ID]lifecycle.Request
	steps   *[]Step
}

func (d *dryRun) Get(ctx context.Context, id lifecycle.ID) (lifecycle.Request, error) {
	if r, ok := d.written[id]; ok {
		return r, nil
	}
	return d.Repository.Get(ctx, id)
}

// Children also asks the store for all live states, because the store has what was
// written here in the state of before, and then selects by the state of now.
func (d *dryRun) Children(ctx context.Context, q ChildQuery) ([]lifecycle.Request, error) {
	wanted := q.States
	q.States |= lifecycle.Live
	for {
		all, err := d.Repository.Children(ctx, q)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		var page []lifecycle.Request
		for _, r := range all {
			q.After = Cursor{r.Parent, r.ID}
			if w, ok := d.written[r.ID]; ok {
				r = w
			}
			if wanted.Has(r.State) || !r.State.Valid() {
				page = append(page, r)
			}
		}
		if len(page) > 0 {
			return page, nil
		}
	}
}

func (d *dryRun) Apply(ctx context.Context, changes []Change) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	made := make([]bool, len(changes))
	for i, ch := range changes {
		rule, _ := lifecycle.RuleFor(ch.Old.Kind, ch.Old.State, ch.Trigger)
		*d.steps = append(*d.steps, Step{Request: ch.Old, State: ch.State, Rule: rule})
		d.written[ch.Old.ID] = ch.New()
		made[i] = true
	}
	return made, nil
}
