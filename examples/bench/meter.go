package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

// A meter measures one run of one way.
type meter struct {
	looking bool    // look closely at the run instead of timing it
	seconds float64 // how long work may take that is not done to its end

	trips atomic.Int64 // counted by whoever makes them

	work int // how many requests
	took time.Duration
	seen sight
}

// A sight is what is seen in a run.
type sight struct {
	trips  int64
	heap   float64 // bytes that the objects on the heap grew by at most
	allocs float64 // allocations for each request
	locked int     // rows changed in one transaction, at most
}

// measure measures do, which returns how much it has done.
func (m *meter) measure(do func() (work int, err error)) (err error) {
	runtime.GC()
	if m.looking {
		defer debug.SetGCPercent(debug.SetGCPercent(1)) // garbage is not to be taken for memory in use
		runtime.GC()
		stop := m.watchHeap()
		defer stop()
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.trips.Store(0)
	begin := time.Now()
	m.work, err = do()
	m.took = time.Since(begin)
	m.seen.trips = m.trips.Load()
	runtime.ReadMemStats(&after)
	m.seen.allocs = float64(after.Mallocs-before.Mallocs) / float64(max(1, m.work))
	return err
}

const heapObjects = "/memory/classes/heap/objects:bytes"

// watchHeap looks at the heap time and again until it is stopped.
func (m *meter) watchHeap() (stop func()) {
	sample := []metrics.Sample{{Name: heapObjects}}
	read := func() float64 {
		metrics.Read(sample)
		return float64(sample[0].Value.Uint64())
	}
	base, done := read(), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			m.seen.heap = max(m.seen.heap, read()-base)
			select {
			case <-done:
				return
			default:
				time.Sleep(200 * time.Microsecond)
			}
		}
	})
	return func() {
		close(done)
		group.Wait()
	}
}

// deadline returns when work has to stop that is not done to its end.
func (m *meter) deadline() time.Time {
	return time.Now().Add(time.Duration(m.seconds * float64(time.Second)))
}
