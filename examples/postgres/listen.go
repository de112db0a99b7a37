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
// It believes no notification: anybody who can connect to the database may send one. A
// notification has it ask the store about the requests in it that run here, and it is the
// store that says whether they are cancelled, by whom and why.
//
// It has a connection of its own. If that breaks, it makes a new one. After it has
// begun to listen, and from time to time, it asks about all that runs here, so that no
// notification is missed for longer than Every.
type Listener struct {
	// Connect makes the connection, such as pgx.Connect does.
	Connect func(ctx context.Context) (*pgx.Conn, error)
	// Channel is that of the Notifier.
	Channel string // by default [DefaultChannel]
	// Every is how often it asks by itself. Zero means 30 seconds.
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

// Run listens, and has workers ask c, until ctx is done. It returns the error of ctx.
func (l *Listener) Run(ctx context.Context, workers *cancel.Workers, c *cancel.Canceller) error {
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		began := time.Now()
		err := l.listen(ctx, workers, c)
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

// listen listens on one connection until it breaks.
func (l *Listener) listen(ctx context.Context, workers *cancel.Workers, c *cancel.Canceller) error {
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
	_, err = conn.Exec(ctx, `LISTEN `+pgx.Identifier{channel(l.Channel)}.Sanitize())
	for err == nil {
		// After LISTEN: what is cancelled between the two is either seen here or notified.
		l.poll(ctx, workers, c, nil)
		err = l.wait(ctx, conn, func(ids []lifecycle.ID) { l.poll(ctx, workers, c, ids) })
	}
	return fmt.Errorf("postgres: listening on %q in %s: %w", channel(l.Channel), pgstore.Place(conn), err)
}

func (l *Listener) every() time.Duration {
	if l.Every <= 0 {
		return 30 * time.Second
	}
	return l.Every
}

// poll asks about requests that run here, or about all that do.
func (l *Listener) poll(ctx context.Context, workers *cancel.Workers, c *cancel.Canceller, ids []lifecycle.ID) {
	// A server that has vanished may take long to answer.
	pollCtx, stop := context.WithTimeout(ctx, max(l.every(), time.Minute))
	defer stop()
	if err := workers.Poll(pollCtx, c, ids...); ctx.Err() == nil {
		l.trouble(err)
	}
}

// wait calls notified with what is notified, for a while.
func (l *Listener) wait(ctx context.Context, conn *pgx.Conn, notified func([]lifecycle.ID)) error {
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
		if json.Unmarshal([]byte(notification.Payload), &ids) != nil || len(ids) == 0 {
			strange++
			continue
		}
		notified(ids)
	}
}
