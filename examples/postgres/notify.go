package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// DefaultChannel is the channel of a [Notifier] and a [Listener] that name none.
const DefaultChannel = "ess_cancel"

// A Notifier is a [cancel.Interrupter] for work in other processes: it tells them by
// NOTIFY, and a [Listener] in each tells the work. On a transaction they are told
// when the caller commits.
//
// A notification reaches those who listen at that moment and nobody else. The
// Listener makes good what it has missed.
type Notifier struct {
	DB      DB
	Channel string // by default [DefaultChannel]
}

// PostgreSQL takes payloads shorter than 8000 bytes. A cause of two long texts is cut,
// so that there is room for many ids beside it: in JSON, a byte of a text takes up
// to six.
const (
	maxPayload = 7999
	maxText    = 400
)

// A notice is a payload.
type notice struct {
	Cause cancel.Cause   `json:"cause"`
	IDs   []lifecycle.ID `json:"ids"`
}

// Interrupt notifies all listeners, in one statement. The texts of the cause are cut to
// 400 bytes each.
func (n *Notifier) Interrupt(ctx context.Context, ids []lifecycle.ID, cause cancel.Cause) error {
	payloads, err := payloads(ids, cause)
	if err != nil {
		return err
	}
	// PostgreSQL joins equal notifications of one transaction. These differ.
	_, err = n.DB.Exec(ctx, `SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload`, channel(n.Channel), payloads)
	return err
}

func channel(name string) string {
	if name == "" {
		return DefaultChannel
	}
	return name
}

// payloads returns as few payloads as the ids fit into.
func payloads(ids []lifecycle.ID, cause cancel.Cause) ([]string, error) {
	cause.Actor, cause.Reason = cut(cause.Actor), cut(cause.Reason)
	empty, err := json.Marshal(notice{Cause: cause, IDs: []lifecycle.ID{}})
	if err != nil {
		return nil, err
	}
	head, tail := string(empty[:len(empty)-len("]}")]), "]}"
	var all []string
	var b strings.Builder
	for _, id := range ids {
		text := strconv.FormatInt(int64(id), 10)
		if b.Len() > 0 && b.Len()+len(",")+len(text)+len(tail) > maxPayload {
			all = append(all, b.String()+tail)
			b.Reset()
		}
		if b.Len() == 0 {
			b.WriteString(head)
		} else {
			b.WriteByte(',')
		}
		b.WriteString(text)
	}
	if b.Len() > 0 {
		all = append(all, b.String()+tail)
	}
	return all, nil
}

// cut returns the beginning of s, of whole characters.
func cut(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// A Listener tells the work in this process what a [Notifier] in any process, this
// one included, has to say.
//
// It has a connection of its own. If that breaks, it makes a new one. After it has
// begun to listen, and from time to time, it looks for requests that are CANCELLING
// and tells their work again, so that no notification is missed for longer than
// Every.
type Listener struct {
	// Connect makes the connection, such as pgx.Connect does.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Table is where the requests are.
	Table Table
	// Channel is that of the Notifier.
	Channel string // by default [DefaultChannel]
	// Every is how often it looks by itself. Zero means 30 seconds.
	Every time.Duration
	// Trouble, if not nil, is called with every error. The Listener goes on after
	// each.
	Trouble func(error)
}

// The pauses before a new connection double from the first to the last.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 10 * time.Second
)

// Run listens, and tells workers, until ctx is done. It returns the error of ctx.
func (l *Listener) Run(ctx context.Context, workers cancel.Interrupter) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := l.listen(ctx, workers)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		l.trouble(err)
		if time.Since(began) > lastPause { // that was not the same trouble still
			pause = firstPause
		}
		// If the server has gone, all processes lose their connection at the same
		// time. They should not all come back at the same time.
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *Listener) trouble(err error) {
	if l.Trouble != nil && err != nil {
		l.Trouble(err)
	}
}

func (l *Listener) every() time.Duration {
	if l.Every <= 0 {
		return 30 * time.Second
	}
	return l.Every
}

// listen listens on one connection until it breaks.
func (l *Listener) listen(ctx context.Context, workers cancel.Interrupter) error {
	conn, err := l.Connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// ctx may be done, and the server is told all the same.
		ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		_ = conn.Close(ctx) // there is nothing to do about it
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+pgx.Identifier{channel(l.Channel)}.Sanitize()); err != nil {
		return err
	}
	// Only now: what is cancelled between the two is either seen here or notified.
	store := New(conn, l.Table)
	for {
		if err := l.catchUp(ctx, store, workers); err != nil {
			return err
		}
		if err := l.wait(ctx, conn, workers); err != nil {
			return err
		}
	}
}

// catchUp tells the work of all requests that are CANCELLING.
func (l *Listener) catchUp(ctx context.Context, store *Store, workers cancel.Interrupter) error {
	// A connection to a server that has vanished may hang for long.
	ctx, stop := context.WithTimeout(ctx, max(l.every(), time.Minute))
	defer stop()
	for u, err := range cancel.ListCancelling(ctx, store) {
		if err != nil {
			return err
		}
		if r := u.Request; r.Kind.RunsWork() && r.Outcome == 0 {
			l.trouble(workers.Interrupt(ctx, []lifecycle.ID{r.ID}, u.Cause))
		}
	}
	return nil
}

// wait passes notifications on for a while.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn, workers cancel.Interrupter) error {
	waitCtx, stop := context.WithTimeout(ctx, l.every())
	defer stop()
	for {
		notification, err := conn.WaitForNotification(waitCtx)
		switch {
		case err == nil:
		case ctx.Err() == nil && waitCtx.Err() != nil && !conn.IsClosed():
			return nil // the time is over, and nothing is wrong
		default:
			return err
		}
		var n notice
		if err := json.Unmarshal([]byte(notification.Payload), &n); err != nil {
			l.trouble(errors.New("postgres: not a notification of a Notifier: " + notification.Payload))
			continue
		}
		l.trouble(workers.Interrupt(ctx, n.IDs, n.Cause))
	}
}
