package mysql_test

import (
	"context"
	"database/sql"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/examples/mysql"
	"example.com/ess/lifecycle"
)

// A scheduler is a Store and the statements of a scheduler, in several goroutines or through
// several nodes at once.
type scheduler struct {
	testing.TB
	dbs []*sql.DB

	admitted, refused, ended, started atomic.Int64
}

func (s *scheduler) store(i int) *mysql.Store { return mysql.New(s.dbs[i%len(s.dbs)], "jobs") }

func (s *scheduler) canceller(i int) *cancel.Canceller {
	return cancel.New(s.store(i), &cancel.Options{PageSize: 10})
}

// submit submits a job, and reports false if its parent admits none.
func (s *scheduler) submit(i int, r lifecycle.Request) (lifecycle.ID, bool) {
	id, err := s.store(i).Submit(context.Background(), r)
	switch {
	case err == nil:
		s.admitted.Add(1)
		return id, true
	case errors.Is(err, esserrors.CodeUnsupportedState):
		s.refused.Add(1)
	default:
		s.Error(err)
	}
	return 0, false
}

// parent submits a parent and has it run.
func (s *scheduler) parent() lifecycle.ID {
	s.Helper()
	id, _ := s.submit(0, lifecycle.Request{Kind: lifecycle.KindParent, State: lifecycle.StateReady})
	if _, err := s.canceller(0).Transition(context.Background(), cancel.Order{ID: id}, lifecycle.TriggerStart); err != nil {
		s.Fatal(err)
	}
	return id
}

func (s *scheduler) below(parent lifecycle.ID, state lifecycle.State) lifecycle.Request {
	return lifecycle.Request{Parent: parent, Kind: lifecycle.KindChild, State: state}
}

// escaped returns how many jobs below a parent are live and do not stop.
func (s *scheduler) escaped(parent lifecycle.ID) int {
	return queryOne[int](s, s.dbs[0], "SELECT COUNT(*) FROM jobs WHERE parent_id = ? AND live = 1 AND status <> 'stopping'", parent)
}

// However many submit children while their parent is cancelled, none slips in.
func (s *scheduler) cancelsWhileOthersSubmit(rounds, submitters int) (escaped int) {
	for round := range rounds {
		parent := s.parent()
		var all sync.WaitGroup
		var some atomic.Int64
		enough := make(chan struct{})
		for i := range submitters {
			all.Go(func() {
				for {
					if _, ok := s.submit(i, s.below(parent, lifecycle.StateWait)); !ok {
						return
					}
					if some.Add(1) == int64(2*submitters) {
						close(enough)
					}
				}
			})
		}
		<-enough
		if _, err := s.canceller(round).Cancel(context.Background(), cancel.Order{ID: parent}); err != nil {
			s.Error(err)
		}
		escaped += s.escaped(parent)
		all.Wait()
		escaped += s.escaped(parent)
	}
	return escaped
}

// A parent that fails while children are submitted fails before the first of them or after
// the last, and never over one.
func (s *scheduler) failsWhileOthersSubmit(rounds int) (orphans int) {
	for round := range rounds {
		parent := s.parent()
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i := range 2 {
			all.Go(func() {
				<-begin
				time.Sleep(rand.N(2 * time.Millisecond))
				s.submit(i, s.below(parent, lifecycle.StateWait))
			})
			all.Go(func() {
				<-begin
				_, err := s.canceller(i+round).Transition(context.Background(), cancel.Order{ID: parent}, lifecycle.TriggerFail)
				switch {
				case err == nil:
					s.ended.Add(1)
				case !errors.Is(err, cancel.ErrLiveChild) && !errors.Is(err, esserrors.CodeUnsupportedState):
					s.Error(err)
				}
			})
		}
		close(begin)
		all.Wait()
		if queryOne[string](s, s.dbs[0], "SELECT status FROM jobs WHERE id = ?", parent) == "failed" {
			orphans += s.escaped(parent)
		}
	}
	return orphans
}

// Jobs are started while their parent is cancelled. A job is started or cancelled, or it stops.
func (s *scheduler) cancelsWhileOthersStart(rounds, children int) (escaped int) {
	for round := range rounds {
		parent := s.parent()
		var jobs []lifecycle.ID
		for range children {
			id, _ := s.submit(0, s.below(parent, lifecycle.StateReady))
			jobs = append(jobs, id)
		}
		begin := make(chan struct{})
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				<-begin
				for _, id := range jobs {
					r, err := s.canceller(i).Transition(context.Background(), cancel.Order{ID: id}, lifecycle.TriggerStart)
					switch {
					case err == nil:
						s.started.Add(1)
					case !errors.Is(err, esserrors.CodeUnsupportedState):
						s.Errorf("start of job %d, which is %v: %v", id, r.State, err)
					}
				}
			})
		}
		all.Go(func() {
			<-begin
			if _, err := s.canceller(round).Cancel(context.Background(), cancel.Order{ID: parent}); err != nil {
				s.Error(err)
			}
			escaped += s.escaped(parent)
		})
		close(begin)
		all.Wait()
		escaped += s.escaped(parent)
	}
	return escaped
}

func (s *scheduler) races(rounds int) {
	escaped := s.cancelsWhileOthersSubmit(rounds, 6)
	s.Logf("%d jobs were admitted, %d refused, while %d parents were cancelled: %d escaped", s.admitted.Load(), s.refused.Load(), rounds, escaped)
	orphans := s.failsWhileOthersSubmit(rounds)
	s.Logf("%d of %d parents failed while children were submitted: %d over a live child", s.ended.Load(), rounds, orphans)
	running := s.cancelsWhileOthersStart(rounds/2, 30)
	s.Logf("%d jobs were started while their parents were cancelled: %d escaped", s.started.Load(), running)
	if escaped+orphans+running > 0 {
		s.Error("they should not")
	}
	if s.refused.Load() == 0 || s.ended.Load() == 0 || s.ended.Load() == int64(rounds) || s.started.Load() == 0 {
		s.Error("nothing met anything")
	}
}

func TestRaces(t *testing.T) {
	t.Parallel()
	s := &scheduler{TB: t, dbs: []*sql.DB{setup(t, server)}}
	s.races(30)
}

// 16 submit without a pause, each in a transaction that takes a while. The cancel waits for
// its turn, and gets it: the server lets those who wait for a row have it in their order.
func TestCancelGetsItsTurn(t *testing.T) {
	t.Parallel()
	const submitters = 16
	db := setup(t, server, parse(t, "1 PARENT RUNNING")...)
	store := mysql.New(db, "jobs")
	ctx := t.Context()
	var admitted atomic.Int64
	var all sync.WaitGroup
	enough := make(chan struct{})
	for range submitters {
		all.Go(func() {
			for {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					t.Error(err)
					return
				}
				if err := store.Admit(ctx, tx, 1); err != nil {
					if !errors.Is(err, esserrors.CodeUnsupportedState) {
						t.Error(err)
					}
					_ = tx.Rollback()
					return
				}
				_, err = tx.ExecContext(ctx, "INSERT INTO jobs (parent_id, type, status) VALUES (1, 'step', 'planned')")
				time.Sleep(2 * time.Millisecond) // what else it has to do
				if err := errors.Join(err, tx.Commit()); err != nil {
					t.Error(err)
					return
				}
				if admitted.Add(1) == submitters {
					close(enough)
				}
			}
		})
	}
	<-enough
	before := admitted.Load()
	if _, err := cancel.New(store, nil).Fence(ctx, cancel.Order{ID: 1}); err != nil {
		t.Error(err)
	}
	came := admitted.Load() - before
	all.Wait()
	t.Logf("%d children came in between the order and its effect, from %d submitters", came, submitters)
	if came > 3*submitters {
		t.Error("the cancel does not get its turn")
	}
}

// The heartbeat of a job, twice in a second, writes what is there already. To a client that
// asks for the rows that are different now the second seems to have found no job, as if it
// had been taken away.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	db := setup(t, server, parse(t, "1 SINGLETON RUNNING")...)
	dsn := newDatabase(t, server)
	changed := openWithout(t, dsn, func(cfg *driver.Config) { cfg.ClientFoundRows = false })
	mustExec(t, changed, mysql.Schema)
	mustExec(t, changed, "INSERT INTO jobs (id, type, status) VALUES (1, 'task', 'running')")
	for _, tt := range []struct {
		db   *sql.DB
		want []int64
	}{{db, []int64{1, 1}}, {changed, []int64{1, 0}}} {
		mustExec(t, tt.db, "ALTER TABLE jobs ADD COLUMN beat_at DATETIME")
		var got []int64
		for range 2 {
			result, err := tt.db.ExecContext(t.Context(), "UPDATE jobs SET beat_at = ? WHERE id = 1 AND status = 'running'", moment)
			if err != nil {
				t.Fatal(err)
			}
			n, _ := result.RowsAffected()
			got = append(got, n)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("the heartbeats found %d jobs, want %d", got, tt.want)
		}
	}
}

var moment = time.Date(2026, 3, 31, 22, 0, 0, 0, time.UTC)
