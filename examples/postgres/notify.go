package postgres

import (
	"context"
	"strconv"
	"strings"

	"example.com/ess/cancel"
	"example.com/ess/examples/postgres/pgstore"
	"example.com/ess/lifecycle"
)

// DefaultChannel is the channel of a [Notifier] and a [Listener] that name none.
const DefaultChannel = "ess_cancel"

// A Notifier is a [cancel.Interrupter] for work in other processes: it tells them by
// NOTIFY which requests to look at, and a [Listener] in each does so. On a transaction
// they are told when the caller commits.
//
// A notification reaches those who listen at that moment and nobody else. The
// Listener makes good what it has missed.
type Notifier struct {
	DB      DB
	Channel string // by default [DefaultChannel]
}

// maxPayload is how long a payload may be: PostgreSQL takes what is shorter than 8000 bytes.
const maxPayload = 7999

// Interrupt notifies all listeners, in one statement. Who cancelled and why they read
// from the store.
func (n *Notifier) Interrupt(ctx context.Context, ids []lifecycle.ID, _ cancel.Cause) error {
	return pgstore.Retry(ctx, n.DB, func() error {
		// PostgreSQL joins equal notifications of one transaction. These differ.
		_, err := n.DB.Exec(ctx, `SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload`, channel(n.Channel), payloads(ids))
		return err
	})
}

func channel(name string) string {
	if name == "" {
		return DefaultChannel
	}
	return name
}

// payloads returns as few JSON arrays of ids as are needed.
func payloads(ids []lifecycle.ID) []string {
	var all []string
	var b strings.Builder
	for _, id := range ids {
		text := strconv.FormatInt(int64(id), 10)
		switch {
		case b.Len() == 0:
			b.WriteByte('[')
		case b.Len()+len(",")+len(text)+len("]") > maxPayload:
			all = append(all, b.String()+"]")
			b.Reset()
			b.WriteByte('[')
		default:
			b.WriteByte(',')
		}
		b.WriteString(text)
	}
	if b.Len() > 0 {
		all = append(all, b.String()+"]")
	}
	return all
}
