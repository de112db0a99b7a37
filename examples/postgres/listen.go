package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// A Listener tells the work in this process that it is cancelled, when a [Notifier] in any
// process, this one included, has something to say.
//
// It believes no notification: anybody who can connect to the database may send one. It
// looks in the store for what it was notified of, and tells the work of requests that are
// CANCELLING, by the cause that is kept there.
//
// It has a connection of its own. If that breaks, it makes a new one. After it has
// begun to listen, and from time to time, it looks for all requests that are CANCELLING
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
		return l.where(conn, err)
	}
	// Only now: what is cancelled between the two is either seen here or notified.
	store := New(conn, l.Table)
	for {
		l.catchUp(ctx, store, workers)
		if err := l.wait(ctx, conn, store, workers); err != nil {
			return l.where(conn, err)
		}
	}
}

// where says what an error is about.
func (l *Listener) where(conn *pgx.Conn, err error) error {
	return fmt.Errorf("postgres: listening on %q in %s: %w", channel(l.Channel), pgstore.Place(conn), err)
}

// timeout bounds what is asked of a server that may have vanished.
func (l *Listener) timeout(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, max(l.every(), time.Minute))
}

// catchUp tells the work of all requests that are CANCELLING.
func (l *Listener) catchUp(ctx context.Context, store *Store, workers cancel.Interrupter) {
	ctx, stop := l.timeout(ctx)
	defer stop()
	for u, err := range cancel.ListCancelling(ctx, store) {
		if err != nil { // of a request, or of the connection, which wait then finds broken
			l.trouble(err)
			continue
		}
		l.tell(ctx, u, workers)
	}
}

// tell tells the work of a request that is CANCELLING, if it has any that has not answered.
func (l *Listener) tell(ctx context.Context, u cancel.CancellingRequest, workers cancel.Interrupter) {
	if r := u.Request; r.State == lifecycle.StateCancelling && r.Kind.RunsWork() && r.Outcome == 0 {
		l.trouble(workers.Interrupt(ctx, []lifecycle.ID{r.ID}, u.Cause))
	}
}

// wait looks at what it is notified of, for a while.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn, store *Store, workers cancel.Interrupter) error {
	waitCtx, stop := context.WithTimeout(ctx, l.every())
	defer stop()
	strange := 0
	defer func() {
		// What they say is not repeated: it comes from anybody, and may be long, and many.
		if strange > 0 {
			l.trouble(fmt.Errorf("postgres: %d notifications on the channel were not those of a Notifier", strange))
		}
	}()
	for {
		notification, err := conn.WaitForNotification(waitCtx)
		switch {
		case err == nil:
		case ctx.Err() == nil && waitCtx.Err() != nil && !conn.IsClosed():
			return nil // the time is over, and nothing is wrong
		default:
			return err
		}
		var ids []lifecycle.ID
		if json.Unmarshal([]byte(notification.Payload), &ids) != nil {
			strange++
			continue
		}
		if err := l.look(ctx, store, ids, workers); err != nil {
			return err
		}
	}
}

// look tells the work of those of some requests that are CANCELLING.
func (l *Listener) look(ctx context.Context, store *Store, ids []lifecycle.ID, workers cancel.Interrupter) error {
	ctx, stop := l.timeout(ctx)
	defer stop()
	cancelling, err := store.cancelling(ctx, ids)
	for _, u := range cancelling {
		l.tell(ctx, u, workers)
	}
	return err
}
