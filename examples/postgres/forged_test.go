package postgres_test

import (
	"context"
	"errors"
	"fmt"
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

// forger returns a connection of a role that may do nothing but connect. To notify needs no
// more.
func forger(t *testing.T, pool *pgxpool.Pool) *pgx.Conn {
	t.Helper()
	config := pool.Config().ConnConfig.Copy()
	role := config.Database + "_forger"
	mustExec(t, pool, `CREATE ROLE `+role+` LOGIN`)
	t.Cleanup(func() { mustExec(t, pool, `DROP ROLE `+role) })
	config.User = role
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), `SELECT FROM ess_requests`); sqlState(err) != "42501" {
		t.Fatalf("the forger may read the table: %v", err)
	}
	return conn
}

// troubles records what a Listener reports.
type troubles struct {
	mu   sync.Mutex
	errs []error
}

func (r *troubles) report(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errs = append(r.errs, err)
}

func (r *troubles) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(errors.Join(r.errs...))
}

// Whoever may connect to the database may notify. Work ends only if the store says that it
// is cancelled, and by the cause that is kept there.
func TestForgedNotification(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := setup(t)
	submitRunning(t, pool, 1, 2)
	store := postgres.New(pool, postgres.DefaultTable())
	canceller := cancel.New(store, &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	var workers told
	listen(t, pool, &workers, time.Hour, func(err error) { t.Error(err) })
	eventually(t, "listening", func() bool { return listening(t, pool) != 0 })

	forge := forger(t, pool)
	for _, payload := range []string{`[1]`, `[1,2]`, `[2]`} {
		mustExec(t, forge, `SELECT pg_notify('ess_cancel', '`+payload+`')`)
	}
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 2, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		t.Fatal(err)
	}
	mustExec(t, forge, `SELECT pg_notify('ess_cancel', '[2, 1]')`)
	eventually(t, "the work of 2 is told", func() bool { _, n := workers.of(2); return n > 1 })
	if cause, _ := workers.of(2); cause.Actor != "ann" || cause.Reason != "wrong ledger" {
		t.Errorf("the work of 2 was told the cause %+v", cause)
	}
	if cause, n := workers.of(1); n != 0 {
		t.Errorf("the work of 1, which nobody has cancelled, was told the cause %+v", cause)
	}
	if r, err := store.Get(ctx, 1); err != nil || r.State != lifecycle.StateRunning {
		t.Errorf("request 1 is %v, %v, want RUNNING", r.State, err)
	}
}

// A notification with anything in it does no harm, and nothing of it comes into a log.
func TestHostileNotifications(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	submitRunning(t, pool, 1, 2)
	var workers told
	var seen troubles
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	listener := postgres.Listener{
		Connect: func(ctx context.Context) (*pgx.Conn, error) {
			config := pool.Config().ConnConfig.Copy()
			config.RuntimeParams["application_name"] = "listener"
			return pgx.ConnectConfig(ctx, config)
		},
		Table: postgres.DefaultTable(), Every: time.Hour, Trouble: seen.report,
	}
	go func() { ended <- listener.Run(ctx, &workers) }()
	eventually(t, "listening", func() bool { return listening(t, pool) != 0 })
	pid := listening(t, pool)

	const forged = "level=INFO msg=forged"
	forge := forger(t, pool)
	hostile := []string{
		"", "x\ntime=2026-01-01 " + forged, `{"cause":{"root":1,"actor":"` + forged + `"},"ids":[1]}`, `["` + forged + `"]`, "[1", "null", "{}", `"\u0000"`,
		strings.Repeat("[", 7999), strings.Repeat("x", 7999), "\x1b[2J" + forged, "[1e400]", "[9223372036854775808]", "[-1]", "[0]", "[1.5]", "[]",
		"[" + strings.TrimSuffix(strings.Repeat("1,", 3999), ",") + "]",
	}
	for _, payload := range hostile {
		if _, err := forge.Exec(ctx, `SELECT pg_notify('ess_cancel', $1)`, payload); err != nil {
			t.Fatal(err)
		}
	}
	canceller := cancel.New(postgres.New(pool, postgres.DefaultTable()), &cancel.Options{Interrupter: &postgres.Notifier{DB: pool}})
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 2}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "told after all that", func() bool { _, n := workers.of(2); return n > 0 })
	if now := listening(t, pool); now != pid {
		t.Errorf("the connection broke: %d became %d", pid, now)
	}
	if _, n := workers.of(1); n != 0 {
		t.Error("the work of 1 was told")
	}
	stop()
	<-ended
	if text := seen.text(); strings.Contains(text, "forged") || strings.Contains(text, "\n") || len(text) > 200 || !strings.Contains(text, "13 notifications") {
		t.Errorf("reported: %q", text)
	}
}

// An error of the Listener says what it was about.
func TestListenerSaysWhere(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	var seen troubles
	listen(t, pool, &told{}, time.Hour, seen.report)
	eventually(t, "listening", func() bool { return listening(t, pool) != 0 })
	cutOff(t, pool)
	config := pool.Config().ConnConfig
	eventually(t, "it is reported", func() bool {
		return strings.Contains(seen.text(), `listening on "ess_cancel" in database "`+config.Database+`"`)
	})
}
