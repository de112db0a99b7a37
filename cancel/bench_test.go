package cancel_test

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

const (
	containers = 1000
	leaves     = 1000 // of each container
	million    = 1 + containers + containers*leaves
)

// million requests: a parent of 1,000 parents of 1,000 children each.
func wideTree() []lifecycle.Request {
	requests := make([]lifecycle.Request, 0, million)
	requests = append(requests, lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	for i := range lifecycle.ID(containers) {
		requests = append(requests, lifecycle.Request{ID: 2 + i, Parent: 1, Kind: lifecycle.KindParent, State: lifecycle.StateReady})
	}
	for i := range lifecycle.ID(containers * leaves) {
		requests = append(requests, lifecycle.Request{
			ID: 2 + containers + i, Parent: 2 + i/leaves, Kind: lifecycle.KindChild, State: lifecycle.StateWait,
		})
	}
	return requests
}

// contextTree returns the stop function of a tree of contexts of the same shape.
func contextTree() context.CancelFunc {
	root, stop := context.WithCancel(context.Background())
	stops := make([]context.CancelFunc, 0, containers*(leaves+1))
	for range containers {
		inner, stop := context.WithCancel(root)
		stops = append(stops, stop)
		for range leaves {
			_, stop := context.WithCancel(inner)
			stops = append(stops, stop)
		}
	}
	runtime.KeepAlive(stops) // their parent stops them all
	return stop
}

// stores are the two ways to see one memrepo.
var stores = []struct {
	name string
	see  func(*memrepo.Repo) cancel.Repository
}{
	{"memrepo", func(repo *memrepo.Repo) cancel.Repository { return repo }},
	{"three-methods", func(repo *memrepo.Repo) cancel.Repository { return struct{ cancel.Repository }{repo} }},
}

// BenchmarkCascade cancels a tree of a million requests, and beside it, in the same
// iteration, a tree of contexts of the same shape. x-context is the ratio of the
// two times; peak-MB is how much the heap grew at most while cancelling.
func BenchmarkCascade(b *testing.B) {
	requests := wideTree()
	for _, store := range stores {
		b.Run("store="+store.name, func(b *testing.B) {
			var ours, theirs time.Duration
			var allocs uint64
			var peak float64
			n := 0
			for b.Loop() {
				n++
				b.StopTimer()
				stop := contextTree()
				runtime.GC()
				begin := time.Now()
				stop()
				theirs += time.Since(begin)
				var repo memrepo.Repo
				must(b, repo.Insert(requests...))
				c := cancel.New(store.see(&repo), nil)
				runtime.GC()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				b.StartTimer()

				begin = time.Now()
				res, err := c.Cancel(b.Context(), cancel.Order{ID: 1})
				ours += time.Since(begin)

				b.StopTimer()
				runtime.ReadMemStats(&after)
				allocs += after.Mallocs - before.Mallocs
				if err != nil || res.Counts[cancel.DispositionCancelled] != million {
					b.Fatal(res, err)
				}
				b.StartTimer()
			}
			b.StopTimer()
			var repo memrepo.Repo
			must(b, repo.Insert(requests...))
			peak = peakHeap(func() {
				if _, err := cancel.New(store.see(&repo), nil).Cancel(b.Context(), cancel.Order{ID: 1}); err != nil {
					b.Error(err)
				}
			})
			b.ReportMetric(float64(ours.Nanoseconds())/float64(n)/million, "ns/request")
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(n)/million, "ns/context")
			b.ReportMetric(float64(ours)/float64(theirs), "x-context")
			b.ReportMetric(float64(allocs)/float64(n)/million, "allocs/request")
			b.ReportMetric(peak/1e6, "peak-MB")
		})
	}
}

// peakHeap returns by how many bytes the objects on the heap grew at most while f ran,
// with garbage collected early.
func peakHeap(f func()) float64 {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	runtime.GC()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	read := func() float64 {
		metrics.Read(sample)
		return float64(sample[0].Value.Uint64())
	}
	base, peak := read(), 0.0
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			peak = max(peak, read()-base)
			select {
			case <-done:
				return
			case <-time.After(200 * time.Microsecond):
			}
		}
	})
	f()
	close(done)
	wg.Wait()
	return peak
}

// BenchmarkCallers has many callers cancel one tree of a million requests at once.
// x-one is the ratio to the time that one caller takes, measured in the same
// iteration.
func BenchmarkCallers(b *testing.B) {
	requests := wideTree()
	for _, store := range stores {
		for _, callers := range []int{8, 64} {
			b.Run(fmt.Sprintf("store=%s/callers=%d", store.name, callers), func(b *testing.B) {
				var one, many time.Duration
				run := func(callers int) time.Duration {
					b.StopTimer()
					var repo memrepo.Repo
					must(b, repo.Insert(requests...))
					runtime.GC()
					b.StartTimer()
					begin := time.Now()
					var wg sync.WaitGroup
					for range callers {
						wg.Go(func() {
							res, err := cancel.New(store.see(&repo), nil).Cancel(b.Context(), cancel.Order{ID: 1})
							if err != nil || res.Root.To != lifecycle.StateCancelled {
								b.Error(res, err)
							}
						})
					}
					wg.Wait()
					return time.Since(begin)
				}
				for b.Loop() {
					one += run(1)
					many += run(callers)
				}
				b.ReportMetric(float64(many)/float64(one), "x-one")
			})
		}
	}
}

// BenchmarkCancelLeaf cancels a single request: a read, a decision and a write.
func BenchmarkCancelLeaf(b *testing.B) {
	var repo memrepo.Repo
	c := cancel.New(&repo, nil)
	b.ReportAllocs()
	var id lifecycle.ID
	for b.Loop() {
		id++
		must(b, repo.Insert(lifecycle.Request{ID: id, Kind: lifecycle.KindSingleton, State: lifecycle.StateReady}))
		if _, err := c.Cancel(b.Context(), cancel.Order{ID: id}); err != nil {
			b.Fatal(err)
		}
	}
}
