package cancel

import (
	"context"
	"math/rand/v2"
	"time"
)

// Repeat calls f at once, and again and again until ctx is done. Between the end of one
// call and the beginning of the next it waits for the given time, up to a tenth more or
// less, so that processes which were started together do not go on calling at the same
// time.
// Repeat returns when ctx is done and no call of f goes on. It is for what a scheduler
// does from time to time:
//
//	go cancel.Repeat(ctx, time.Minute, func(ctx context.Context) {
//		if _, err := canceller.Resume(ctx, nil); err != nil {
//			slog.ErrorContext(ctx, "resume", "err", err)
//		}
//		if err := workers.Poll(ctx, canceller); err != nil {
//			slog.ErrorContext(ctx, "poll", "err", err)
//		}
//	})
//
// Repeat panics if every is not positive.
func Repeat(ctx context.Context, every time.Duration, f func(ctx context.Context)) {
	if every <= 0 {
		panic("cancel: Repeat: every is not positive") //nolint:forbidigo // a mistake of the programmer
	}
	for ctx.Err() == nil {
		f(ctx)
		timer := time.NewTimer(every - every/10 + rand.N(every/5+1))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}
