package essriver_test

import (
	"testing"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// BenchmarkCancel cancels a tree of a thousand jobs by one call, and one of the same size by
// River's JobCancel in a loop. The ratio is how many times longer the loop takes.
func BenchmarkCancel(b *testing.B) {
	w := newWorld(b, nil)
	var ours, rivers time.Duration
	for b.Loop() {
		b.StopTimer()
		root, _ := w.thousand()
		other, ids := w.thousand()
		b.StartTimer()

		began := time.Now()
		w.cancel(root)
		ours += time.Since(began)

		b.StopTimer()
		began = time.Now()
		for _, id := range append(ids, other) {
			if _, err := w.client.JobCancel(b.Context(), int64(id)); err != nil {
				b.Fatal(err)
			}
		}
		rivers += time.Since(began)
		if live, err := w.jobs.Children(b.Context(), cancel.ChildQuery{Parents: []lifecycle.ID{root, other}, States: lifecycle.Live, Limit: 1}); err != nil || len(live) > 0 {
			b.Fatalf("live: %v, %v", live, err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(rivers)/float64(ours), "river/ess")
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N)/1001, "us/job")
}
