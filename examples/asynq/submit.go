package essasynq

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// errTaken is the error of an insert of a request whose id is in use.
var errTaken = errors.New("essasynq: the id is in use")

// Submit inserts a request if its parent, should it have one, admits it at that moment.
// The error has [esserrors.CodeUnsupportedState] if the parent does not, and
// [esserrors.CodeNotFound] if there is none.
//
// It is for a scheduler that has tasks of its own. [Jobs.Enqueue] does it for asynq's.
func (s *Store) Submit(ctx context.Context, r lifecycle.Request) error {
	_, _, err := s.insert(ctx, true, "", "", r)
	return err
}

// Insert inserts requests as they are, for a scheduler that moves here. Those of one
// tag are inserted all or none.
func (s *Store) Insert(ctx context.Context, requests ...lifecycle.Request) error {
	byTag := map[int][]lifecycle.Request{}
	for _, r := range requests {
		byTag[s.tagOf(r.ID)] = append(byTag[s.tagOf(r.ID)], r)
	}
	for _, of := range byTag {
		if _, _, err := s.insert(ctx, false, "", "", of...); err != nil {
			return err
		}
	}
	return nil
}

// insert inserts requests of one tag. It returns the id of the first or, if there is one of the same
// name below the same parent, of that, and whether its task is not in asynq's queue yet.
func (s *Store) insert(ctx context.Context, admit bool, name, task string, requests ...lifecycle.Request) (of lifecycle.ID, waiting bool, err error) {
	args := []any{flag(admit)}
	for _, r := range requests {
		if err := r.Validate(); err != nil {
			return 0, false, err
		}
		if r.Parent != 0 && s.tagOf(r.Parent) != s.tagOf(r.ID) || s.tagOf(r.ID) >= s.opts.Tags {
			return 0, false, fmt.Errorf("essasynq: the id %d has not the tag of a tree that request %d is in", r.ID, r.Parent)
		}
		args = append(args, text(r.ID), text(r.Parent), r.Kind.String(), r.State.String(), stateName(r.Outcome),
			micros(r.CheckedIn), r.Attempt, name, task)
	}
	v, err := s.run(ctx, insertScript, s.tagOf(requests[0].ID), args...)
	if err != nil {
		return 0, false, err
	}
	first := requests[0]
	switch str(v[0]) {
	case "ok":
		return first.ID, task != "", nil
	case "named":
		n, _ := v[2].(int64)
		return id(v[1]), n == 1, nil
	case "taken":
		return 0, false, fmt.Errorf("%w: %d", errTaken, id(v[1]))
	case "orphan":
		return 0, false, esserrors.NotFound("submit", int64(first.Parent), nil)
	default: // it has refused, by the same rules
		parent := request([]any{text(first.Parent), text(0), v[2], v[3], "", "", "0"})
		return 0, false, lifecycle.Admit(parent)
	}
}

// submit inserts a new request with a task to be enqueued, which may be empty. A name that
// its parent has a child of already stands for that child.
func (s *Store) submit(ctx context.Context, parent lifecycle.ID, kind lifecycle.Kind, state lifecycle.State, name, task string) (id lifecycle.ID, waiting bool, err error) {
	tag := s.tagOf(parent)
	switch {
	case parent != 0:
	case name != "":
		h := fnv.New32a()
		h.Write([]byte(name))
		tag = int(h.Sum32()) % s.opts.Tags
	default:
		tag = rand.IntN(s.opts.Tags)
	}
	for {
		r := lifecycle.Request{ID: newID(tag), Parent: parent, Kind: kind, State: state}
		if id, waiting, err = s.insert(ctx, true, name, task, r); !errors.Is(err, errTaken) {
			return id, waiting, err
		}
	}
}

// A job is a request that has waited for something: for its task to be enqueued, or if it has
// none for somebody to end it.
type job struct {
	id   lifecycle.ID
	task string
}

// todo returns up to limit jobs of a tag that have waited for so long.
func (s *Store) todo(ctx context.Context, tag int, wait time.Duration, limit int) ([]job, error) {
	v, err := s.run(ctx, todoScript, tag, wait.Milliseconds(), limit)
	if err != nil {
		return nil, err
	}
	var jobs []job
	for i := 0; i < len(v); i += 2 {
		jobs = append(jobs, job{id(v[i]), str(v[i+1])})
	}
	return jobs, nil
}

// enqueued notes that the task of a request is in asynq's queue.
func (s *Store) enqueued(ctx context.Context, id lifecycle.ID) error {
	_, err := s.run(ctx, enqueuedScript, s.tagOf(id), text(id))
	return err
}

// over reports whether a request is COMPLETED and waits for no child any more, and whether one
// has failed.
func (s *Store) over(ctx context.Context, id lifecycle.ID) (over, failed bool, err error) {
	v, err := s.run(ctx, waitingScript, s.tagOf(id), text(id))
	if err != nil {
		return false, false, err
	}
	children, _ := v[1].(int64)
	return str(v[0]) == lifecycle.StateCompleted.String() && children == 0, str(v[2]) == "1", nil
}

// idle returns those requests whose own work had returned when they became CANCELLING.
func (s *Store) idle(ctx context.Context, ids []lifecycle.ID) (idle []lifecycle.ID, err error) {
	byTag := map[int][]any{}
	for _, id := range ids {
		byTag[s.tagOf(id)] = append(byTag[s.tagOf(id)], text(id))
	}
	for tag, ids := range byTag {
		v, err := s.run(ctx, idleScript, tag, ids...)
		if err != nil {
			return idle, err
		}
		for _, found := range v {
			idle = append(idle, id(found))
		}
	}
	return idle, nil
}
