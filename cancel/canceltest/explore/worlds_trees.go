package explore

import (
	"context"
	"errors"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// childrenWorlds have a parent and its children.
func childrenWorlds() []World {
	return []World{
		{
			Name: "children/two cancels", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1).ahead(time.Minute), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "children/the last two answer", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, failed), Acknowledges("work3", 3, cancelled)},
		},
		{
			Name: "children/parent and child cancelled", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Cancels("cid", 3), Acknowledges("work", 2, succeeded)},
		},
		{
			Name: "children/submitted", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Submits("sched", child(3, 1), child(4, 1)), Acknowledges("work", 2, cancelled)},
		},
		{
			Name: "children/submitted and started", Tree: `
				1 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), {Name: "sched", Run: func(ctx context.Context, env *Env) error {
				if err := Submits("", child(2, 1)).Run(ctx, env); err != nil {
					return err
				}
				return Finishes("", 2, succeeded, dispatch, start, complete, succeed).Run(ctx, env)
			}}},
		},
		{
			Name: "children/start", Workers: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD READY`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), StartsAndWorks("work", 2, finished)},
		},
		{
			Name: "children/finish and start", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work2", 2, warning, complete, lifecycle.TriggerWarn), Finishes("work3", 3, succeeded, dispatch, start)},
		},
		{
			Name: "children/retried", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work2", 2, failed, lifecycle.TriggerFailRetryable, lifecycle.TriggerRetry, dispatch, start), Acknowledges("work3", 3, succeeded)},
		},
		{
			Name: "children/parent starts", Tree: `
				1 PARENT READY
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Transitions("sched1", 1, start, complete), Finishes("sched2", 2, cancelled, dispatch, start)},
		},
		{
			Name: "children/parent ends by itself", Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work", 2, succeeded, complete, succeed), endsParent("sched", 1)},
		},
		{
			Name: "children/refused", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD WAIT`,
			Options: &cancel.Options{Authorizer: cancel.AuthorizerFunc(func(_ context.Context, a cancel.Access) error {
				if strings.HasPrefix(a.Actor, "eve") {
					return errors.New("not on the list")
				}
				return nil
			})},
			Actors: []Actor{Cancels("ann", 1), refused("eve", 1), refused("eve2", 2)},
		},
		{
			Name: "children/gives up", Resume: true, Tree: `
				1 PARENT RUNNING
				  2 CHILD RUNNING
				  3 CHILD RUNNING`,
			Options: &cancel.Options{MaxAttempts: 1},
			Actors:  []Actor{Cancels("ann", 1), Finishes("work2", 2, succeeded, complete), Acknowledges("work3", 3, cancelled)},
		},
	}
}

// nestedWorlds have parents below parents.
func nestedWorlds() []World {
	return []World{
		{
			Name: "nested/root and inner node", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 3, cancelled)},
		},
		{
			Name: "nested/inner node with work", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 SUBREQUEST_PARENT RUNNING
				    3 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work2", 2, succeeded), Acknowledges("work3", 3, warning)},
		},
		{
			Name: "nested/the last two answer", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				    4 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work3", 3, succeeded), Acknowledges("work4", 4, cancelled)},
		},
		{
			Name: "nested/two inner nodes", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    4 CHILD RUNNING
				  3 PARENT WAIT
				    5 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work4", 4, cancelled), Acknowledges("work5", 5, failed)},
		},
		{
			Name: "nested/two cancels of two inner nodes", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    4 CHILD WAIT
				  3 PARENT READY`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1)},
		},
		{
			Name: "nested/submitted", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Submits("sched", child(3, 2),
				lifecycle.Request{ID: 4, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateWait}, child(5, 4))},
		},
		{
			Name: "nested/above and below", OneEnd: true, Tree: `
				1 PARENT RUNNING
				  2 PARENT WAIT
				    3 PARENT RUNNING
				      4 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 3)},
		},
		{
			Name: "nested/ended children", Tree: `
				1 PARENT RUNNING
				  2 PARENT RUNNING
				    3 CHILD RUNNING
				  4 CHILD SUCCEEDED`,
			Actors: []Actor{Cancels("ann", 1), Finishes("work", 3, failed, lifecycle.TriggerFail), endsParent("sched", 2)},
		},
	}
}

// subrequestWorlds have work that has children.
func subrequestWorlds() []World {
	return []World{
		{
			Name: "subrequests/answer and last child", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Acknowledges("work1", 1, succeeded), Acknowledges("work2", 2, cancelled)},
		},
		{
			Name: "subrequests/two cancels", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 1), Acknowledges("work", 1, warning)},
		},
		{
			Name: "subrequests/force and last child", OneEnd: true, Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1), Acknowledges("work", 2, succeeded)},
		},
		{
			Name: "subrequests/force and answer", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD WAIT`,
			Actors: []Actor{Cancels("ann", 1), Forces("ops", 1), Acknowledges("work", 1, failed)},
		},
		{
			Name: "subrequests/checks in", Tree: `
				1 SUBREQUEST_PARENT RUNNING
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), ChecksIn("work1", 1, succeeded).ahead(time.Minute), Acknowledges("work2", 2, cancelled)},
		},
		{
			Name: "subrequests/submits and pauses", Tree: `
				1 SUBREQUEST_PARENT RUNNING`,
			Actors: []Actor{Cancels("ann", 1), {Name: "work", Run: func(ctx context.Context, env *Env) error {
				if err := Submits("", child(2, 1)).Run(ctx, env); err != nil {
					return err
				}
				return Finishes("", 1, cancelled, lifecycle.TriggerPause, lifecycle.TriggerResume).Run(ctx, env)
			}}, Transitions("sched", 2, dispatch)},
		},
		{
			Name: "subrequests/paused and cancelled below", Tree: `
				1 SUBREQUEST_PARENT PAUSED
				  2 CHILD RUNNING`,
			Actors: []Actor{Cancels("ann", 1), Cancels("bob", 2), Acknowledges("work", 2, cancelled), Finishes("sched", 1, succeeded, lifecycle.TriggerResume)},
		},
	}
}
