package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// A contest is several ways to do the same work, of which the first is the baseline.
type contest struct {
	name   string // such as "postgres/wide"
	title  string
	rounds int
	ways   []way
}

// A way is one way to do the work of a contest.
type way struct {
	name  string
	goals []goal
	// once says that the way takes so long that it is timed once, and not looked at.
	once bool
	// bounded says that it does as much of the work as it can in the time given.
	bounded bool
	// run does the work on fresh data, inside of m.measure, and checks what came
	// of it.
	run func(ctx context.Context, m *meter) error
}

// A result is what a contest came to.
type result struct {
	*contest
	rows []*row
}

// A row is what one way took.
type row struct {
	*way
	result *result
	work   int       // requests done in a run
	ns     []float64 // for each of them, in each timed run
	seen   sight     // what was seen in the run that was not timed
}

// compete runs the contest and keeps the result.
//
// The first round is not timed: it warms up, and looking closely slows what is looked at.
// In the others all ways take their turns, each round beginning with another,
// so that a computer that gets slower tilts none.
func (b *bench) compete(ctx context.Context, c contest) error {
	if !b.only.MatchString(c.name) {
		return nil
	}
	res := &result{contest: &c}
	for i := range c.ways {
		res.rows = append(res.rows, &row{way: &c.ways[i], result: res})
	}
	for round := range c.rounds + 1 {
		for i := range c.ways {
			r := res.rows[(i+round)%len(c.ways)]
			if r.once && round != 1 {
				continue
			}
			m := meter{looking: round == 0, seconds: b.size.seconds}
			begin := time.Now()
			if err := r.run(ctx, &m); err != nil {
				return fmt.Errorf("%s: %s: %w", c.name, r.name, err)
			}
			if m.work == 0 {
				return fmt.Errorf("%s: %s: nothing was done", c.name, r.name)
			}
			if b.size.blocks != c.rounds {
				fmt.Fprintf(b.log, "%s: %s: round %d: %v, with preparation %v\n", c.name, r.name, round, m.took, time.Since(begin))
			}
			r.work = m.work
			if m.looking || r.once {
				r.seen = m.seen
			}
			if !m.looking {
				r.ns = append(r.ns, float64(m.took)/float64(m.work))
			}
		}
	}
	b.results = append(b.results, res)
	return nil
}

// of returns the row of that way.
func (res *result) of(way string) *row {
	for _, r := range res.rows {
		if r.name == way {
			return r
		}
	}
	return nil
}

// perUnit returns the median time for a unit of the work, in nanoseconds.
func (r *row) perUnit() float64 { return median(r.ns) }

// time returns the median time of a run.
func (r *row) time() time.Duration { return time.Duration(r.perUnit() * float64(r.work)) }

// ratio returns how many times as long as the baseline it took: the median of the rounds,
// and the extremes.
func (r *row) ratio() (mid, low, high float64) {
	base := r.result.rows[0].ns
	ratios := make([]float64, 0, len(r.ns))
	for i, ns := range r.ns {
		if r.once {
			ratios = append(ratios, ns/median(base))
		} else {
			ratios = append(ratios, ns/base[i])
		}
	}
	return median(ratios), slices.Min(ratios), slices.Max(ratios)
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// A goal is a target of the project's design.
type goal struct {
	text string
	met  func(*row) bool
}

// atMost is the goal that a way takes at most so many times as long as the baseline.
func atMost(x float64) goal {
	return goal{fmt.Sprintf("≤ %g", x), func(r *row) bool {
		mid, _, _ := r.ratio()
		return mid <= x
	}}
}

// tripsFor is the goal for round trips in a cascade over t.
func tripsFor(t tree, page int) goal {
	limit := int64(3*len(t.levels) + 10)
	for _, children := range t.levels {
		limit += int64(3 * ((children + page - 1) / page))
	}
	return goal{"trips ≤ " + thousands(limit), func(r *row) bool { return r.seen.trips <= limit }}
}
