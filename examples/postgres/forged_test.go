package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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

// Whoever may connect to the database may notify. Work ends only if the store says that it
// is cancelled, and by the cause that is kept there.
func TestForgedNotification(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	h := newHost(t, pool).run(1, 2, 3)
	h.listen(time.Hour)
	forge := forger(t, pool)
	for _, payload := range []string{`[1]`, `[1, 2]`, `[2, 3]`} {
		mustExec(t, forge, `SELECT pg_notify('ess_cancel', '`+payload+`')`)
	}
	mustCancel(t, h.loud(), 2)
	h.waitUntilTold(2)
	mustCancel(t, h.canceller, 3) // tells nobody, and then the forger does
	mustExec(t, forge, `SELECT pg_notify('ess_cancel', '[3, 1]')`)
	h.waitUntilTold(3)
	for id := lifecycle.ID(2); id <= 3; id++ {
		if cause, _ := h.told(id); cause.Root != id || cause.Actor != "ann" || cause.Reason != "wrong ledger" {
			t.Errorf("the work of %d was told the cause %+v", id, cause)
		}
	}
	if cause, ok := h.told(1); ok {
		t.Errorf("the work of 1, which nobody has cancelled, was told the cause %+v", cause)
	}
	if r, err := h.store.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateRunning {
		t.Errorf("request 1 is %v, %v, want RUNNING", r.State, err)
	}
}

// A notification with anything in it does no harm, and nothing of it comes into a log.
func TestHostileNotifications(t *testing.T) {
	t.Parallel()
	pool := setup(t)
	h := newHost(t, pool).run(1, 2)
	end := h.listen(time.Hour)
	pid := listening(t, pool)

	const forged = "level=INFO msg=forged"
	forge := forger(t, pool)
	for _, payload := range []string{
		"", "x\ntime=2026-01-01 " + forged, `{"cause":{"root":1,"actor":"` + forged + `"},"ids":[1]}`, `["` + forged + `"]`, "[1", "null", "{}", `"\u0000"`,
		strings.Repeat("[", 7999), strings.Repeat("x", 7999), "\x1b[2J" + forged, "[1e400]", "[9223372036854775808]", "[1.5]", "[]",
		"[-1]", "[0]", "[" + strings.TrimSuffix(strings.Repeat("1,", 3999), ",") + "]", // these could be a Notifier's
	} {
		if _, err := forge.Exec(t.Context(), `SELECT pg_notify('ess_cancel', $1)`, payload); err != nil {
			t.Fatal(err)
		}
	}
	mustCancel(t, h.loud(), 2)
	h.waitUntilTold(2)
	if now := listening(t, pool); now != pid {
		t.Errorf("the connection broke: %d became %d", pid, now)
	}
	if _, ok := h.told(1); ok {
		t.Error("the work of 1 was told")
	}
	end()
	const want = "postgres: 15 notifications on the channel were not those of a Notifier"
	if text := h.reported(); text != want {
		t.Errorf("reported %q, want %q", text, want)
	}
}
