package memrepo_test

import (
	"fmt"
	"runtime"
	"testing"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

// forest returns n requests: parents with up to a thousand children each, below one root.
func forest(n int) []lifecycle.Request {
	requests := make([]lifecycle.Request, 0, n)
	requests = append(requests, lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning})
	parent := lifecycle.ID(1)
	for id := lifecycle.ID(2); int(id) <= n; id++ {
		r := lifecycle.Request{ID: id, Parent: parent, Kind: lifecycle.KindChild, State: lifecycle.StateWait}
		if id%1001 == 2 {
			r.Parent, r.Kind = 1, lifecycle.KindParent
			parent = id
		}
		requests = append(requests, r)
	}
	return requests
}

// heap returns how many bytes are in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkInsert measures how much memory a request takes, before and after a cancel.
func BenchmarkInsert(b *testing.B) {
	for _, n := range []int{1_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			requests := forest(n)
			var stored, cancelled float64
			for b.Loop() {
				b.StopTimer()
				repo := new(memrepo.Repo)
				before := heap()
				b.StartTimer()
				if err := repo.Insert(requests...); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				stored = float64(heap()-before) / float64(n)
				if _, err := cancel.New(repo, nil).Cancel(b.Context(), cancel.Order{ID: 1, Actor: "ann", Reason: "benchmark"}); err != nil {
					b.Fatal(err)
				}
				cancelled = float64(heap()-before) / float64(n)
				runtime.KeepAlive(repo)
				b.StartTimer()
			}
			b.ReportMetric(stored, "B/request")
			b.ReportMetric(cancelled, "B/request-cancelled")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/request")
		})
	}
}

// BenchmarkSubmit inserts requests one by one, as a scheduler does.
func BenchmarkSubmit(b *testing.B) {
	var repo memrepo.Repo
	requests := forest(1_000_000)
	i := 0
	for b.Loop() {
		if i == len(requests) {
			b.StopTimer()
			repo, i = memrepo.Repo{}, 0
			b.StartTimer()
		}
		if err := repo.Submit(b.Context(), requests[i]); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkLastLive asks for a live child of a parent of which all children but the last have
// ended. Every acknowledgement of a child asks so.
func BenchmarkLastLive(b *testing.B) {
	const n = 100_000
	requests := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning}}
	for id := lifecycle.ID(2); id < n; id++ {
		requests = append(requests, lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait})
	}
	var repo memrepo.Repo
	if err := repo.Insert(requests...); err != nil {
		b.Fatal(err)
	}
	for _, r := range requests[1 : n-2] {
		if _, err := fire(b.Context(), &repo, r.ID, lifecycle.TriggerExpire); err != nil {
			b.Fatal(err)
		}
	}
	q := cancel.ChildQuery{Parents: []lifecycle.ID{1}, States: lifecycle.Live, Limit: 1}
	b.ReportAllocs()
	for b.Loop() {
		if page, err := repo.Children(b.Context(), q); err != nil || len(page) != 1 {
			b.Fatal(page, err)
		}
	}
}

func BenchmarkCascade(b *testing.B) {
	requests := forest(1_000_000)
	for b.Loop() {
		b.StopTimer()
		repo := new(memrepo.Repo)
		if err := repo.Insert(requests...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if _, err := cancel.New(repo, nil).Cancel(b.Context(), cancel.Order{ID: 1}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/request")
}
