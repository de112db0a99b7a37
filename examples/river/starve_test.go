package essriver_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
)

// However many insert children of one parent, and however long each holds his transaction, a
// cancel waits for those who have got in, and not for who comes later.
func TestInsertersDoNotStarveCancel(t *testing.T) {
	const tries, hold = 7, 20 * time.Millisecond
	median := func(times []time.Duration) time.Duration {
		if len(times) == 0 {
			return hold
		}
		return slices.Sorted(slices.Values(times))[len(times)/2]
	}
	w := newWorld(t, nil)
	config := w.pool.Config()
	config.MaxConns = 60
	pool := newPool(t, config)
	for _, inserters := range []int{1, 4, 16, 48} {
		var waits, takes []time.Duration
		for range tries {
			root := w.parent(0)
			var mu sync.Mutex
			var took []time.Duration
			var all sync.WaitGroup
			for range inserters {
				all.Go(func() {
					for {
						began := time.Now()
						err := pgx.BeginFunc(context.Background(), pool, func(tx pgx.Tx) error {
							opts, err := w.jobs.Admit(context.Background(), tx, root, nil)
							if err == nil {
								_, err = w.client.InsertTx(context.Background(), tx, task{"end"}, opts)
								time.Sleep(hold)
							}
							return err
						})
						if err != nil {
							if !errors.Is(err, esserrors.CodeUnsupportedState) {
								t.Error(err)
							}
							return
						}
						mu.Lock()
						took = append(took, time.Since(began))
						mu.Unlock()
					}
				})
			}
			time.Sleep(5 * hold)
			ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
			began := time.Now()
			_, err := w.jobs.Fence(ctx, cancel.Order{ID: root})
			waits = append(waits, time.Since(began))
			stop()
			if err != nil {
				t.Errorf("beside %d inserters: %v", inserters, err)
				if _, err := pool.Exec(t.Context(), `UPDATE river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1`, root); err != nil {
					t.Fatal(err)
				}
			}
			all.Wait()
			takes = append(takes, median(took))
		}
		ratio := float64(median(waits)) / float64(median(takes))
		t.Logf("%2d inserters: a transaction takes %v, the cancel %v, %.1f times as long (at most %v)", inserters, median(takes), median(waits), ratio, slices.Max(waits))
		most := 100.0 // a cancel that starves takes far longer
		if inserters > 16 {
			most = 200 // here it is the machine that all wait for
		}
		if ratio > most {
			t.Errorf("with %d inserters a cancel takes %.1f times as long as one of their transactions, want at most %.0f", inserters, ratio, most)
		}
	}
}
