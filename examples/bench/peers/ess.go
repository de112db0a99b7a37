package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/postgres"
	"example.com/ess/examples/sqlite"
	"example.com/ess/lifecycle"
)

// ess is this module, over one of its example stores.
type ess struct {
	book
	three bool   // the store has the three methods only
	table string // of the requests

	openBook func(context.Context, env) (book, error)
	// openStore returns the store, and a function that inserts requests, all or none.
	openStore func(context.Context, env) (essStore, func(context.Context, []lifecycle.Request) error, error)

	store     essStore
	insert    func(context.Context, []lifecycle.Request) error
	workers   cancel.Workers
	canceller *cancel.Canceller
	next      atomic.Int64 // the id of the next request
}

type essStore interface {
	cancel.Repository
	Submit(ctx context.Context, r lifecycle.Request) error
}

func newPostgres(three bool) func() system {
	return func() system {
		return &ess{three: three, table: "ess_requests", openStore: openPostgres, openBook: func(ctx context.Context, e env) (book, error) {
			return openPostgresBook(ctx, e.PG)
		}}
	}
}

func openPostgres(ctx context.Context, e env) (essStore, func(context.Context, []lifecycle.Request) error, error) {
	pool, err := pgxpool.New(ctx, e.PG)
	if err != nil {
		return nil, nil, err
	}
	if err := postgres.Migrate(ctx, pool); err != nil {
		return nil, nil, err
	}
	store := postgres.New(pool, postgres.DefaultTable())
	return store, func(ctx context.Context, requests []lifecycle.Request) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			for _, r := range requests {
				if err := store.On(tx).Submit(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}

func newSQLite(three bool) func() system {
	file := func(e env) string { return filepath.Join(e.Dir, "ess.db") }
	return func() system {
		return &ess{three: three, table: "requests", openBook: func(ctx context.Context, e env) (book, error) {
			return openSQLiteBook(ctx, file(e))
		}, openStore: func(ctx context.Context, e env) (essStore, func(context.Context, []lifecycle.Request) error, error) {
			store, err := sqlite.Open(ctx, file(e))
			return store, func(ctx context.Context, requests []lifecycle.Request) error { return store.Insert(ctx, requests...) }, err
		}}
	}
}

func (s *ess) look(ctx context.Context, e env) (err error) {
	s.book, err = s.openBook(ctx, e)
	return err
}

func (s *ess) start(ctx context.Context, e env) (err error) {
	if s.store, s.insert, err = s.openStore(ctx, e); err != nil {
		return err
	}
	var repo cancel.Repository = s.store
	if s.three {
		repo = struct{ cancel.Repository }{repo}
	}
	s.canceller = cancel.New(repo, &cancel.Options{Interrupter: &s.workers})
	if s.db == nil { // the file is there only now
		if err := s.look(ctx, e); err != nil {
			return err
		}
	}
	last, err := s.number(ctx, "SELECT coalesce(max(id), 0) FROM "+s.table)
	s.next.Store(int64(last) + 1)
	return err
}

// requests are those of a tree, parents first. What is to run is READY.
func (s *ess) requests(shape shape) []lifecycle.Request {
	id := func() lifecycle.ID { return lifecycle.ID(s.next.Add(1) - 1) }
	all := []lifecycle.Request{{ID: id(), Kind: lifecycle.KindParent, State: lifecycle.StateReady}}
	parents := all
	for range shape.Groups {
		all = append(all, lifecycle.Request{ID: id(), Parent: all[0].ID, Kind: lifecycle.KindParent, State: lifecycle.StateReady})
		parents = all[1:]
	}
	state := lifecycle.StateWait
	if shape.Running {
		state = lifecycle.StateReady
	}
	for _, p := range parents {
		for range shape.Leaves / len(parents) {
			all = append(all, lifecycle.Request{ID: id(), Parent: p.ID, Kind: lifecycle.KindChild, State: state})
		}
	}
	return all
}

func (s *ess) build(ctx context.Context, shape shape) (*tree, error) {
	all := s.requests(shape)
	if err := s.insert(ctx, all); err != nil {
		return nil, err
	}
	if _, err := s.canceller.Transition(ctx, cancel.Order{ID: all[0].ID}, lifecycle.TriggerStart); err != nil {
		return nil, err
	}
	if shape.Running {
		for _, r := range all[1:] {
			begun := make(chan struct{})
			if err := s.run(ctx, r.ID, func(ctx context.Context) error {
				close(begun)
				<-ctx.Done()
				return context.Cause(ctx)
			}); err != nil {
				return nil, err
			}
			<-begun
		}
	}
	return &tree{Shape: shape, ID: fmt.Sprint(all[0].ID)}, nil
}

// run starts the work of a request that is READY.
func (s *ess) run(ctx context.Context, id lifecycle.ID, work func(context.Context) error) error {
	r, err := s.canceller.Transition(ctx, cancel.Order{ID: id}, lifecycle.TriggerStart)
	if err == nil {
		go s.workers.Run(context.WithoutCancel(ctx), s.canceller, r, work, nil) //nolint:errcheck // the store says how it ended
	}
	return err
}

func essID(id string) lifecycle.ID {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil {
		panic(err) // this program has made it
	}
	return lifecycle.ID(n)
}

func (s *ess) cancel(ctx context.Context, t *tree) error {
	_, err := s.canceller.Cancel(ctx, cancel.Order{ID: essID(t.ID), Actor: "ann", Reason: "wrong ledger"})
	return err
}

const essLive = "state NOT IN ('EXPIRED', 'CANCELLED', 'ERROR', 'WARNING', 'SUCCEEDED', 'VALIDATION_FAILED', 'FINISHED')"

// A tree is what came after its root: there is one tree at a time.
func (s *ess) live(ctx context.Context, t *tree) (bool, error) {
	return s.any(ctx, "SELECT 1 FROM "+s.table+" WHERE id >= "+t.ID+" AND "+essLive)
}

func (s *ess) census(ctx context.Context, t *tree) (census, error) {
	return s.book.census(ctx, s.table, "state", "id = "+t.ID, "id >= "+t.ID)
}

func (s *ess) family(ctx context.Context) (family, error) {
	t, err := s.build(ctx, shape{Leaves: 0})
	if err != nil {
		return family{}, err
	}
	child := func(state lifecycle.State) lifecycle.Request {
		return lifecycle.Request{ID: lifecycle.ID(s.next.Add(1) - 1), Parent: essID(t.ID), Kind: lifecycle.KindChild, State: state}
	}
	working, waiting, finished := child(lifecycle.StateReady), child(lifecycle.StateWait), child(lifecycle.StateReady)
	if err := s.insert(ctx, []lifecycle.Request{working, waiting, finished}); err != nil {
		return family{}, err
	}
	if err := s.run(ctx, finished.ID, func(context.Context) error { return nil }); err != nil {
		return family{}, err
	}
	if err := s.run(ctx, working.ID, func(context.Context) error { theWork.work(); return nil }); err != nil {
		return family{}, err
	}
	f := family{t, fmt.Sprint(working.ID), fmt.Sprint(waiting.ID), fmt.Sprint(finished.ID)}
	err = until(ctx, func() (bool, error) {
		state, err := s.state(ctx, f.Finished)
		return state == lifecycle.StateSucceeded.String(), err
	})
	return f, errors.Join(err, theWork.begun(ctx))
}

func (s *ess) state(ctx context.Context, id string) (string, error) {
	return s.text(ctx, "SELECT state FROM "+s.table+" WHERE id = "+id)
}

func (s *ess) crowd(ctx context.Context) (*tree, error) { return s.build(ctx, shape{Leaves: 100}) }

// submit has four submitters.
func (s *ess) submit(ctx context.Context, t *tree, stop <-chan struct{}) error {
	return fourTimes(stop, func() error {
		r := lifecycle.Request{ID: lifecycle.ID(s.next.Add(1) - 1), Parent: essID(t.ID), Kind: lifecycle.KindChild, State: lifecycle.StateWait}
		err := s.store.Submit(ctx, r)
		if errors.Is(err, esserrors.CodeUnsupportedState) {
			return nil // refused
		}
		return err
	})
}

// again has nothing to do with the tree: Resume finds what was cut off.
func (s *ess) again(ctx context.Context, _ *tree) error {
	_, err := s.canceller.Resume(ctx, nil)
	return err
}
