package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// told records what an Interrupter was told.
type told struct {
	mu     sync.Mutex
	causes map[lifecycle.ID]cancel.Cause
	times  map[lifecycle.ID]int
}

func (r *told) Interrupt(_ context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.causes == nil {
		r.causes, r.times = map[lifecycle.ID]cancel.Cause{}, map[lifecycle.ID]int{}
	}
	for _, id := range ids {
		r.causes[id] = cause
		r.times[id]++
	}
	return nil
}

func (r *told) of(id lifecycle.ID) (cancel.Cause, int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.causes[id], r.times[id]
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after half a minute: %s", what)
		}
	}
}

// listen runs a Listener until the test ends.
func listen(t *testing.T, pool *pgxpool.Pool, workers cancel.Interrupter, every time.Duration, trouble func(error)) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	listener := postgres.Listener{
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			config := pool.Config().ConnConfig.Copy()
			config.RuntimeParams["application_name"] = "listener"
			return pgx.ConnectConfig(ctx, config)
		},
		Table:   postgres.DefaultTable(),
		Every:   every,
		Trouble: trouble,
	}
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(ctx, workers) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run = %v, want context.Canceled", err)
		}
	})
}

// listening returns the process that listens and has caught up, or 0.
func listening(t *testing.T, pool *pgxpool.Pool) int {
	return queryOne[int](t, pool, `
SELECT coalesce(max(pid), 0) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'listener' AND state = 'idle' AND query NOT LIKE 'LISTEN%' AND query <> ''`)
}

// cutOff ends the process that listens.
func cutOff(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	mustExec(t, pool, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'listener'`)
}

func submitRunning(t *testing.T, pool *pgxpool.Pool, ids ...lifecycle.ID) {
	t.Helper()
	for _, id := range ids {
		r := lifecycle.Request{ID: id, Kind: lifecycle.KindSingleton, State: lifecycle.StateRunning}
		if err := postgres.New(pool, postgres.DefaultTable()).Submit(context.Background(), r); err != nil {
			t.Fatal(err)
		}
	}
}

// Work in another process is told of a cancel, by whom and why, at once.
func TestNotification(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	submitRunning(t, pool, 1, 2)
	var here, there told
	never := time.Hour
	listen(t, pool, &here, never, func(err error) { t.Error(err) })
	listen(t, pool, &there, never, func(err error) { t.Error(err) })
	eventually(t, "both listen", func() bool {
		return queryOne[int](t, pool, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'listener' AND state = 'idle' AND query NOT LIKE 'LISTEN%'`) == 2
	})
	store := postgres.New(pool, postgres.DefaultTable())
	canceller := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	res, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"})
	if err != nil || res.InterruptErr != nil || res.Interrupted != 1 {
		t.Fatalf("Cancel = %+v, %v", res, err)
	}
	for _, listener := range []*told{&here, &there} {
		eventually(t, "the listener is told", func() bool { _, n := listener.of(1); return n > 0 })
		if cause, _ := listener.of(1); cause.Root != 1 || cause.Actor != "ann" || cause.Reason != "wrong ledger" || cause.Time.IsZero() {
			t.Errorf("the listener was told the cause %+v", cause)
		}
		if _, n := listener.of(2); n != 0 {
			t.Error("the listener was told of a request that was not cancelled")
		}
	}

	// In a transaction, nobody is told before it is committed.
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	inTx := cancel.New(store.On(tx), &cancel.Options{Interrupter: &postgres.Notifier{DB: tx}})
	if _, err := inTx.Cancel(ctx, cancel.Order{ID: 2}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	if _, n := here.of(2); n != 0 {
		t.Error("the listener was told before the commit")
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the listener is told after the commit", func() bool { _, n := here.of(2); return n > 0 })
}

// What is cancelled without a notification, or while the connection is broken, is
// told all the same: when the connection is there again, and from time to time.
func TestMissedNotification(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	submitRunning(t, pool, 1, 2, 3)
	store := postgres.New(pool, postgres.DefaultTable())
	silent := cancel.New(store, nil)
	mustCancel := func(c *cancel.Canceller, id lifecycle.ID) {
		t.Helper()
		if _, err := c.Cancel(ctx, cancel.Order{ID: id, Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
	}
	mustCancel(silent, 1)
	var r told
	var mu sync.Mutex
	var troubles []error
	listen(t, pool, &r, time.Hour, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		troubles = append(troubles, err)
	})
	eventually(t, "told at the start", func() bool { _, n := r.of(1); return n > 0 })
	if cause, _ := r.of(1); cause.Actor != "ann" {
		t.Errorf("told the cause %+v, want that of the audit trail", cause)
	}
	eventually(t, "listening", func() bool { return listening(t, pool) != 0 })

	// The connection is cut, several times, and cancels go on.
	for range 3 {
		cutOff(t, pool)
		eventually(t, "listening again", func() bool { return listening(t, pool) != 0 })
	}
	cutOff(t, pool)
	mustCancel(silent, 2)
	eventually(t, "told after a new connection", func() bool { _, n := r.of(2); return n > 0 })
	mu.Lock()
	if len(troubles) < 3 {
		t.Errorf("the broken connections were reported as %v", troubles)
	}
	mu.Unlock()

	// Nonsense on the channel does no harm.
	eventually(t, "listening", func() bool { return listening(t, pool) != 0 })
	pid := listening(t, pool)
	mustExec(t, pool, `SELECT pg_notify('ess_cancel', 'nonsense')`)
	mustCancel(cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}}), 3)
	eventually(t, "told after nonsense", func() bool { _, n := r.of(3); return n > 0 })
	if now := listening(t, pool); now != pid {
		t.Errorf("the connection broke because of nonsense: %d became %d", pid, now)
	}

	// Without any notification, and with the connection whole, it looks by itself.
	var patient told
	listen(t, pool, &patient, 50*time.Millisecond, func(err error) { t.Error(err) })
	eventually(t, "told at the start", func() bool { _, n := patient.of(3); return n > 0 })
	submitRunning(t, pool, 4)
	mustCancel(silent, 4)
	eventually(t, "told by polling", func() bool { _, n := patient.of(4); return n > 0 })
}

// What is cancelled while a Listener looks for what it has missed is told as well.
func TestNotificationMeanwhile(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	submitRunning(t, pool, 1, 2)
	store := postgres.New(pool, postgres.DefaultTable())
	if _, err := cancel.New(store, nil).Cancel(ctx, cancel.Order{ID: 2}); err != nil {
		t.Fatal(err)
	}
	loud := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	var r told
	listen(t, pool, cancel.InterrupterFunc(func(ctx context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
		if err := r.Interrupt(ctx, ids, cause); err != nil || ids[0] != 2 {
			return err
		}
		_, err := loud.Cancel(ctx, cancel.Order{ID: 1}) // it has looked at 1 already
		return err
	}), time.Hour, func(err error) { t.Error(err) })
	eventually(t, "both are told", func() bool {
		_, first := r.of(1)
		_, second := r.of(2)
		return first > 0 && second > 0
	})
}

// Only work that has not answered is told.
func TestMissedNotificationOfWork(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	store := postgres.New(pool, postgres.DefaultTable())
	for _, r := range []lifecycle.Request{
		{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		{ID: 2, Parent: 1, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StateRunning},
		{ID: 3, Parent: 2, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	} {
		if err := store.Submit(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	canceller := cancel.New(store, nil)
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 2}, lifecycle.StateWarning); err != nil {
		t.Fatal(err)
	}
	var r told
	listen(t, pool, &r, time.Hour, func(err error) { t.Error(err) })
	eventually(t, "the work of 3 is told", func() bool { _, n := r.of(3); return n > 0 })
	for id := lifecycle.ID(1); id <= 2; id++ {
		if _, n := r.of(id); n > 0 {
			t.Errorf("request %d has no work to be told, and was", id)
		}
	}
}

// Many ids fit into payloads that PostgreSQL accepts.
func TestNotificationOfMany(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `LISTEN "odd ""channel"""`); err != nil {
		t.Fatal(err)
	}
	want := map[lifecycle.ID]bool{}
	var ids []lifecycle.ID
	for id := lifecycle.ID(1<<62 - 5000); id < 1<<62; id++ {
		ids = append(ids, id)
		want[id] = true
	}
	notifier := postgres.Notifier{DB: pool, Channel: `odd "channel"`}
	if err := notifier.Interrupt(ctx, ids, cancel.Cause{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	for ; len(want) > 0; n++ {
		ctx, stop := context.WithTimeout(ctx, 10*time.Second)
		notification, err := conn.Conn().WaitForNotification(ctx)
		stop()
		if err != nil {
			t.Fatal(err)
		}
		var got []lifecycle.ID
		if err := json.Unmarshal([]byte(notification.Payload), &got); err != nil {
			t.Fatal(err)
		}
		for _, id := range got {
			if !want[id] {
				t.Fatalf("notified of %d twice, or for nothing", id)
			}
			delete(want, id)
		}
	}
	if t.Logf("%d ids were told in %d notifications", len(ids), n); n != 13 { // 399 ids of 19 digits in each
		t.Errorf("%d notifications for %d ids", n, len(ids))
	}
	if err := notifier.Interrupt(ctx, nil, cancel.Cause{}); err != nil {
		t.Errorf("Interrupt of nobody = %v", err)
	}
}
