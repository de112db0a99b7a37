package service

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A reporter logs what goes wrong, but no more than a line in a minute: while a store
// fails, nearly everything does.
type reporter struct {
	log *slog.Logger

	mu             sync.Mutex
	failed, logged time.Time // the last error, and the last one that was logged
	unlogged       int       // errors since that
}

func (r *reporter) report(ctx context.Context, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = time.Now()
	if r.failed.Sub(r.logged) < time.Minute {
		r.unlogged++
		return
	}
	r.log.ErrorContext(ctx, "the scheduler cannot go on everywhere", "err", err, "not_logged_before", r.unlogged)
	r.logged, r.unlogged = r.failed, 0
}

// well reports whether nothing has gone wrong for some time.
func (r *reporter) well(long time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.failed) > long
}
