package explore

import "context"

// resumeWorlds have Resume beside others, and a cancel that is only begun.
func resumeWorlds() []World {
	return []World{
		{
			Name: "resume/beside a cancel", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Resumes("boot"), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "resume/of what was begun", Resume: true, OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT WAIT
				    3 CHILD RUNNING`,
			Actors: []Actor{Fences("ann", 1), Resumes("boot"), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "resume/begun below", Resume: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD WAIT`,
			Actors: []Actor{Fences("ann", 2), Cancels("bob", 1), Submits("sched", child(4, 2)), Acknowledges("work", 1, cancelled)},
		},
		{
			Name: "resume/two at once", OneEnd: true, Tree: `
				1 PARENT CANCELLING (then CANCELLED)
				  2 CHILD RUNNING`,
			Actors: []Actor{Resumes("boot1"), Resumes("boot2"), Acknowledges("work", 2, succeeded)},
		},
	}
}

// deathWorlds have actors that die.
func deathWorlds() []World {
	return []World{
		{
			Name: "death/of the canceller", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "death/of one of two cancellers", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Cancels("bob", 1), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "death/of the last two workers", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, cancelled).dies(), Acknowledges("work3", 3, succeeded).dies()},
		},
		{
			Name: "death/of work with children", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work1", 1, succeeded).dies(), Acknowledges("work2", 2, cancelled).dies()},
		},
		{
			Name: "death/of a worker that is started again", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT WAIT
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 3, succeeded).dies(), Acknowledges("again", 3, succeeded)},
		},
		{
			Name: "death/of a worker before a second cancel", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work", 3, succeeded).dies(), Cancels("bob", 2)},
		},
		{
			Name: "death/of a submitter", Tree: `
				1 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Submits("sched", child(2, 1), child(3, 1)).dies(), Transitions("sched2", 2, dispatch, start)},
		},
		{
			Name: "death/and its resume", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1).dies(), Resumes("boot").dies(), Acknowledges("work", 2, cancelled)},
		},
	}
}

// faultWorlds have a store that fails.
func faultWorlds() []World {
	return []World{
		{
			Name: "faults/of the canceller", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1).faulty(1), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "faults/of the worker", Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, succeeded).faulty(1), Acknowledges("work3", 3, cancelled)},
		},
		{
			Name: "faults/twice", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD READY`,
			Actors: []Actor{Cancels("ann", 1).faulty(2), Cancels("bob", 1)},
		},
	}
}

// workWorlds have work that waits to be told.
func workWorlds() []World {
	return []World{
		{
			Name: "work/told", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Works("work", 2, gaveIn)},
		},
		{
			Name: "work/with children", Workers: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Works("work1", 1, finished), Works("work2", 2, broke)},
		},
		{
			Name: "work/told by resume", Workers: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1).dies(), Works("work", 1, broke)},
		},
		{
			Name: "work/dies", Workers: true, Tree: `
				1 SINGLETON RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Works("work", 1, finished).dies(), Works("next", 1, gaveIn)},
		},
		{
			Name: "work/ends by itself", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), worksThrough("work", 2, func(context.Context, *Env) error { return nil })},
		},
	}
}
