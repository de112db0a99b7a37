package main

// A mutant is a mistake that somebody could make in package cancel.
type mutant struct {
	name  string
	edits []edit
}

func one(name, fn, old, replacement string) mutant {
	return mutant{name, []edit{{fn, old, replacement}}}
}

var mutants = []mutant{
	// The fence and the cascade.
	one("no fence: a parent is taken to be CANCELLING without a write", "operation.cancelRoot",
		"made, err := o.applyOne(ctx, ch)",
		"made, err := r.Kind.HasChildren(), error(nil)\nif !made { made, err = o.applyOne(ctx, ch) }"),
	one("the fence comes after the cascade", "operation.cancel",
		"root, err := o.cancelRoot(ctx)",
		`if r, err := o.get(ctx, o.id); whole && err == nil && r.Kind.HasChildren() && lifecycle.Live.Has(r.State) && r.State != lifecycle.StateCancelling {
			t := &tree{o: o, levels: [][]*node{{{req: r, from: r.State}}}}
			if err := t.sweep(ctx); err != nil { return err }
			o.visited = visits{}
			o.result.Counts = Counts{}
		}
		root, err := o.cancelRoot(ctx)`),
	one("a lost race is not tried again", "descent.pageBySteps", "len(lost) == 0", "len(lost) >= 0"),
	one("a lost race is taken for an end", "descent.reread", "i < len(live) && live[i].ID == r.ID", "false"),
	one("a child that has ended stops its siblings", "descent.pageBySteps",
		"page, err = d.reread(ctx, lost)",
		"n := len(lost); if page, err = d.reread(ctx, lost); err == nil && len(page) < n { return false, nil }"),
	one("what is CANCELLING already is not gone into", "operation.record", "n.opensBelow()", "n.opensBelow() && n.changed"),
	one("the cascade stops after the first page", "descent.pageBySteps", "more = len(page) > 0", "more = false"),
	one("a failure reads as success", "descent.pageBySteps",
		"d.record(ch.Old, ch.Old.State, DispositionFailed, err)", "d.recordMade(ch)"),
	one("a store that fails is not reported", "operation.record", "o.failures.fail(err)", "_ = err"),
	one("one request that cannot be written stops its siblings", "operation.write", "o.store.giveUp(ctx)", "true"),
	one("running children are not told", "operation.record", "o.tell = append(o.tell, r.ID)", "_ = o"),
	one("a second cancel moves the clock of force", "operation.cancelRoot",
		"case r.State == lifecycle.StateCancelling: return node{req: r, from: r.State}, nil",
		`case r.State == lifecycle.StateCancelling:
			if _, err := o.applyOne(ctx, checkInChange(r, o.now())); err != nil { return node{}, err }
			return node{req: r, from: r.State}, nil`),
	one("what is terminal may be cancelled", "operation.cancelRoot",
		"r.State == lifecycle.StateCancelled && seen.ID != 0", "lifecycle.Terminal.Has(r.State)"),
	one("the caller's context error becomes a system error", "operation.storeError", "stop == nil", "true"),
	one("the authorizer fails open", "operation.authorize",
		"default: return esserrors.NotAuthorized(o.verb, int64(o.id), err)", "default: return nil"),

	// What a cancel makes of each request.
	one("running work is CANCELLED at once", "decide",
		"d := Decision{Kind: k, From: s, State: to}",
		"d := Decision{Kind: k, From: s, State: to}\nif !k.HasChildren() && s == lifecycle.StateRunning { d.State, to = lifecycle.StateCancelled, lifecycle.StateCancelled }"),
	one("running work of a parent is not waited for", "decide", "!lifecycle.Executes(k, s)", "k.HasChildren()"),
	one("a container waits for work that it does not have", "decide", "!lifecycle.Executes(k, s)", "k != lifecycle.KindSubrequestParent"),
	one("the cause is lost", "change",
		"ch := Change{Old: r, Trigger: t, State: state, Outcome: outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt, Cause: cause}",
		"cause = Cause{Root: cause.Root, Time: cause.Time}\nch := Change{Old: r, Trigger: t, State: state, Outcome: outcome, CheckedIn: r.CheckedIn, Attempt: r.Attempt, Cause: cause}"),

	// Settling.
	one("a parent is settled without looking for live children", "operation.withoutLiveChildren", "return live[n.req.ID]", "return false"),
	one("the upward settle does not look for live children", "operation.settleOne", "if err != nil || live { return n, err }", "if err != nil { return n, err }\n_ = live"),
	one("work looks for live children before it records its answer", "operation.answer",
		"made, err := o.applyOne(ctx, ch)",
		`live, err := o.liveChild(ctx, r.ID)
		if err != nil { return err }
		made, err := o.applyOne(ctx, ch)
		if made && live {
			o.give(Receipt{ID: r.ID, Parent: r.Parent, Kind: r.Kind, Disposition: DispositionRecorded, From: r.State, To: r.State})
			return o.err()
		}`),
	one("who acknowledges does not look at the parent", "operation.answered", "o.stopOn(o.settleUp(ctx, r.Parent))", "_ = r"),
	one("who cancels a leaf does not look at the parent", "operation.cancel", "o.stopOn(o.settleUp(ctx, root.req.Parent))", "_ = root"),
	one("who settles a tree does not look above it", "operation.cascade", "err == nil && root.settled", "false"),
	one("a parent below which nothing was found is taken to wait for its work", "node.maySettle", "n.mustLook || !n.children", "n.mustLook"),
	one("the answer of a parent's work is not read again", "operation.refresh", "n.stale || due(n.req) == 0", "n.stale"),
	one("a parent whose child ended is not looked at", "operation.record",
		"default: parent.mustLook = true", "default:"),
	one("a parent whose inner parent was settled is not looked at", "tree.settle", "t.parent(l, n).mustLook = true", "_ = l"),
	one("parents are settled before what is below them", "tree.settle", "slices.Backward(t.levels)", "slices.All(t.levels)"),

	// Answers.
	one("the second answer of the work takes the place of the first", "operation.answer",
		"case r.Outcome != 0: return o.answerAgain(ctx, r, r.Outcome, outcome)", ""),
	{"work that nobody cancelled may acknowledge", []edit{
		{"operation.answer", "r.State != lifecycle.StateCancelling", "lifecycle.Terminal.Has(r.State)"},
		{"operation.answer", "!permitted(r, t)", "t == lifecycle.TriggerForce && !permitted(r, t)"},
	}},
	one("repeating an acknowledgement does not settle what was left", "operation.answerAgain",
		"err := o.answered(ctx, r, r.State, false)", "o.report(node{req: r, from: r.State})\nerr := o.err()"),
	one("force does not wait", "Canceller.Force", "wait > 0", "wait > o.c.opts.Grace"),

	// Resume.
	one("resume does not go below what it finds", "operation.resumeOne", "return o.cascade(ctx, n)", "o.report(n)\nreturn nil"),
	one("resume does not tell running work again", "operation.resumeOne", "tell.ids = append(tell.ids, r.ID)", "_ = r"),

	// Transitions and attempts.
	one("a parent is ended over a live child", "operation.advance", "live, err := o.liveChild(ctx, r.ID)", "live, err := o.liveChild(ctx, r.ID)\nlive = false"),
	one("a parent that admits children is ended in two steps", "operation.advance",
		"!lifecycle.AdmitsChildren(r.Kind, r.State)", "true"),
	one("a transition does not settle what waits for it", "operation.transition", "err = o.settleUp(ctx, r.Parent)", "_ = r"),
	one("a transition ends what is CANCELLING", "operation.transition",
		"to, err := lifecycle.Advance(r.Kind, r.State, t)",
		"to, err := lifecycle.Advance(r.Kind, r.State, t)\nif next, ok := lifecycle.Next(r.Kind, r.State, t); ok && t != lifecycle.TriggerCancel { to, err = next, nil }"),
	one("a superseded attempt speaks", "operation.superseded", "return esserrors.Conflict(o.verb, int64(o.id), fmt.Sprintf(\"Attempt %d of request %d has been superseded by attempt %d.\", o.attempt, o.id, r.Attempt), ErrSuperseded)", "_ = fmt.Sprint\nreturn nil"),
	one("attempts are not counted", "change", "ch.Attempt++", "_ = t"),

	// Work.
	one("a cancel between the start and the run is lost", "Workers.Run",
		"case now.State == lifecycle.StateCancelling: cause, _ := o.causeOf(ctx, r.ID)\nerr := &CancelledError{ID: r.ID, Cause: cause}\nreturn errors.Join(err, e.end(err))",
		"case now.State == lifecycle.StateCancelling: return &CancelledError{ID: r.ID}"),
	one("work that is cancelled does not acknowledge", "ending.end",
		"_, err := e.c.Acknowledge(ctx, order, outcome)\nreturn unlessGone(err)", "_ = outcome\nreturn unlessGone(err)"),
	one("work may be interrupted only after the look at the store", "Workers.Run",
		"if err := w.add(r, stop); err != nil { return err }", "defer func() { _ = w.add }()"),

	// Deletion and clocks.
	one("a request that is deleted while it is cancelled is not found", "operation.cancelRoot",
		"case !ok && seen.ID != 0: return node{req: seen, from: seen.State, gone: true}, nil", ""),
	one("a request that is deleted while its work answers is not found", "operation.answer",
		"case !ok && seen.ID != 0: o.report(node{req: seen, from: seen.State, gone: true})\nreturn nil", "case !ok && seen.ID < 0:"),
	one("a parent that is gone is an error", "operation.settleOne",
		"return node{gone: !ok}, err", "if err == nil { err = o.storeError(ctx, ErrNotFound) }\nreturn node{}, err"),
	one("a clock that was wrong blocks force", "operation.mendClock", "r.CheckedIn.Sub(cause.Time) <= tolerance", "true"),
	one("resume starts the grace of everybody anew", "operation.mendClock", "r.CheckedIn.Sub(cause.Time) <= tolerance", "false"),

	// What cannot be read, and pages that are broken off.
	one("what cannot be read is passed over", "descent.pageBySteps",
		"if !o.again || !o.visited.has(r.ID) { d.record(r, r.State, DispositionFailed, err) }", "_ = err"),
	one("what cannot be read stops the page", "descent.pageBySteps",
		"if !o.again || !o.visited.has(r.ID) { d.record(r, r.State, DispositionFailed, err) }\ncontinue", "return false, err"),
	one("a page that was broken off is not believed", "descent.pageAtOnce",
		"failed := err != nil", "failed := err != nil\nif failed { page = ChildPage{} }"),
	one("a page that was broken off is taken to be complete", "descent.pageAtOnce",
		"failed := err != nil", "failed := false"),
	one("texts reach the store as they come", "Canceller.operation",
		"cause := Cause{Root: order.ID, Actor: cleanText(order.Actor, MaxActor), Reason: cleanText(order.Reason, MaxReason)}",
		"cause := Cause{Root: order.ID, Actor: order.Actor, Reason: order.Reason}"),

	// Whole trees at once.
	one("what is submitted while a tree is cancelled at once is missed", "tree.sweepAtOnce",
		"late, seen, err := t.lookAgain(ctx)", "late, seen, err := []Cursor(nil), false, error(nil)"),
	one("what a call for a tree leaves over is left", "tree.cancelBelow",
		"from = append(from[len(part):], more...)", "from, _ = from[len(part):], more"),
	one("a tree that was broken off is not believed", "tree.page",
		"failed := err != nil", "failed := err != nil\nif failed { page = TreePage{} }"),
	one("a tree that was broken off is taken to be complete", "tree.page", "failed := err != nil", "failed := false"),
	one("what the store has settled is not told", "tree.settleAtOnce", "n.req, n.settled = ch.New(), true", "n.req = ch.New()"),
	one("a store that fails to settle is taken to have settled", "tree.settleAtOnce", "if err != nil { return false, nil }", "if err != nil { return true, nil }"),
	one("the store is not asked to settle what is above", "tree.settleAtOnce", "ask[p.req.ID] = p", "_ = p"),

	// Many at once.
	one("what another order has cancelled is refused", "operation.cancelRoot",
		"case r.State == lifecycle.StateCancelled && o.many: return node{req: r, from: r.State}, nil", ""),
}
