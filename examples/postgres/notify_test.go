package postgres_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres"
	"example.com/ess/lifecycle"
)

// A host is what runs work in one process: it listens, and each work waits for its context to
// end.
type host struct {
	*testing.T
	pool      *pgxpool.Pool
	store     *postgres.Store
	canceller *cancel.Canceller // tells nobody
	workers   cancel.Workers
	work      sync.WaitGroup
	ctx       context.Context // ends with the test

	mu       sync.Mutex
	causes   map[lifecycle.ID]error // of contexts that have ended
	troubles []error
}

func newHost(t *testing.T, pool *pgxpool.Pool) *host {
	t.Helper()
	store := postgres.New(pool, postgres.DefaultTable())
	h := &host{T: t, pool: pool, store: store, canceller: cancel.New(store, nil), causes: map[lifecycle.ID]error{}}
	var stop context.CancelFunc
	h.ctx, stop = context.WithCancel(context.Background())
	t.Cleanup(func() { stop(); h.work.Wait() })
	return h
}

// run submits requests without parents and starts their work.
func (h *host) run(ids ...lifecycle.ID) *host {
	h.Helper()
	for _, id := range ids {
		r := lifecycle.Request{ID: id, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}
		if err := h.store.Submit(context.Background(), r); err != nil {
			h.Fatal(err)
		}
		r, err := h.canceller.Transition(context.Background(), cancel.Order{ID: id}, lifecycle.TriggerStart)
		if err != nil {
			h.Fatal(err)
		}
		started := make(chan struct{})
		h.work.Go(func() {
			_ = h.workers.Run(h.ctx, h.canceller, r, func(ctx context.Context) error {
				close(started)
				<-ctx.Done()
				h.mu.Lock()
				h.causes[id] = context.Cause(ctx)
				h.mu.Unlock()
				return context.Cause(ctx)
			}, nil)
		})
		<-started
	}
	return h
}

// told returns the cause by which the work of a request was told to end, and whether it was.
func (h *host) told(id lifecycle.ID) (cancel.Cause, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	cancelled, ok := errors.AsType[*cancel.CancelledError](h.causes[id])
	if !ok {
		return cancel.Cause{}, h.causes[id] != nil
	}
	return cancelled.Cause, true
}

func (h *host) waitUntilTold(id lifecycle.ID) {
	h.Helper()
	eventually(h.T, "the work is told", func() bool { _, ok := h.told(id); return ok })
}

func (h *host) trouble(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.troubles = append(h.troubles, err)
}

// trouble returns what has been reported, as a text.
func (h *host) reported() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := errors.Join(h.troubles...); err != nil {
		return err.Error()
	}
	return ""
}

// listen runs a Listener until the test ends, or the returned function is called, and
// waits until it listens.
func (h *host) listen(every time.Duration) (end func()) {
	h.Helper()
	ctx, stop := context.WithCancel(context.Background())
	listener := postgres.Listener{
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			config := h.pool.Config().ConnConfig.Copy()
			config.RuntimeParams["application_name"] = "listener"
			return pgx.ConnectConfig(ctx, config)
		},
		Every:   every,
		Trouble: h.trouble,
	}
	before := listeners(h.T, h.pool)
	ended := make(chan error, 1)
	go func() { ended <- listener.Run(ctx, &h.workers, h.canceller) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			h.Errorf("Run = %v, want context.Canceled", err)
		}
	})
	h.Cleanup(end)
	eventually(h.T, "it listens", func() bool { return listeners(h.T, h.pool) > before })
	return end
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

const ofListeners = ` FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'listener' AND state = 'idle' AND query LIKE 'LISTEN%'`

// listeners returns how many listen.
func listeners(t *testing.T, pool *pgxpool.Pool) int {
	return queryOne[int](t, pool, `SELECT count(*)`+ofListeners)
}

// listening returns the process that listens, or 0.
func listening(t *testing.T, pool *pgxpool.Pool) int {
	return queryOne[int](t, pool, `SELECT coalesce(max(pid), 0)`+ofListeners)
}

// cutOff ends the process that listens.
func cutOff(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	mustExec(t, pool, `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'listener'`)
}

// loud returns a canceller that tells all who listen.
func (h *host) loud() *cancel.Canceller {
	return cancel.New(h.store, &cancel.Options{Interrupter: &postgres.Notifier{DB: h.pool}})
}

func mustCancel(t *testing.T, c *cancel.Canceller, id lifecycle.ID) {
	t.Helper()
	if res, err := c.Cancel(context.Background(), cancel.Order{ID: id, Actor: "ann", Reason: "wrong ledger"}); err != nil || res.InterruptErr != nil {
		t.Fatal(err, res.InterruptErr)
	}
}

// Work in another process is told of a cancel, by whom and why, at once.
func TestNotification(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	here, there := newHost(t, pool).run(1, 2, 5), newHost(t, pool).run(3, 4)
	never := time.Hour
	here.listen(never)
	there.listen(never)
	for id, h := range map[lifecycle.ID]*host{1: here, 3: there} {
		mustCancel(t, here.loud(), id)
		h.waitUntilTold(id)
		if cause, _ := h.told(id); cause.Root != id || cause.Actor != "ann" || cause.Reason != "wrong ledger" || cause.Time.IsZero() {
			t.Errorf("the work was told the cause %+v", cause)
		}
	}

	// In a transaction, nobody is told before it is committed.
	tx, err := pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	inTx := cancel.New(here.store.On(tx), &cancel.Options{Interrupter: &postgres.Notifier{DB: tx}})
	mustCancel(t, inTx, 2)
	time.Sleep(50 * time.Millisecond)
	if _, ok := here.told(2); ok {
		t.Error("the work was told before the commit")
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	here.waitUntilTold(2)
	for id, h := range map[lifecycle.ID]*host{4: there, 5: here} {
		if _, ok := h.told(id); ok {
			t.Errorf("the work of %d, which nobody has cancelled, was told", id)
		}
	}
	if text := here.reported() + there.reported(); text != "" {
		t.Error(text)
	}
}

// What is cancelled without a notification, or while the connection is broken, is
// told all the same: when the connection is there again, and from time to time.
func TestMissedNotification(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	h := newHost(t, pool).run(1, 2, 3)
	silent := h.canceller
	mustCancel(t, silent, 1)
	h.listen(time.Hour)
	h.waitUntilTold(1) // at the start
	if cause, _ := h.told(1); cause.Actor != "ann" {
		t.Errorf("told the cause %+v, want that of the audit trail", cause)
	}

	// The connection is cut, several times, and cancels go on.
	for range 3 {
		cutOff(t, pool)
		eventually(t, "listening again", func() bool { return listening(t, pool) != 0 })
	}
	cutOff(t, pool)
	mustCancel(t, silent, 2)
	h.waitUntilTold(2) // with a new connection
	config := pool.Config().ConnConfig
	if text := h.reported(); strings.Count(text, `listening on "ess_cancel" in database "`+config.Database+`" of `+config.Host) < 4 {
		t.Errorf("the broken connections were reported as %s", text)
	}
	eventually(t, "listening again", func() bool { return listening(t, pool) != 0 })
	mustCancel(t, h.loud(), 3)
	h.waitUntilTold(3)

	// Without any notification, and with the connection whole, it looks by itself.
	patient := newHost(t, pool).run(4)
	patient.listen(50 * time.Millisecond)
	mustCancel(t, silent, 4)
	patient.waitUntilTold(4)
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
