package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// label returns what a request is called.
func (c *course) label(id lifecycle.ID) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", id, c.names[id]))
}

// work returns how the work of each request took the cancel.
func (c *course) work() map[lifecycle.ID]string {
	work := map[lifecycle.ID]string{}
	for _, a := range c.answers {
		switch _, cancelled := errors.AsType[*cancel.CancelledError](a.err); {
		case a.err == nil:
			work[a.id] = "finished"
		case cancelled:
			work[a.id] = "stopped"
		default:
			work[a.id] = "failed"
		}
	}
	for _, f := range c.forced {
		work[f.id] = "forced"
	}
	return work
}

// states returns the state of each of the requests.
func states(requests []lifecycle.Request) map[lifecycle.ID]string {
	states := make(map[lifecycle.ID]string, len(requests))
	for _, r := range requests {
		states[r.ID] = r.State.String()
	}
	return states
}

// overview returns the tree with the states of each request so far.
func (c *course) overview(s *screen) string {
	after, now, work := states(c.after), states(c.now), c.work()
	if c.after == nil {
		now = nil
	}
	latest := "now"
	if c.done {
		latest = "in the end"
	}
	rows := [][]string{{"request", "before", "right after", latest, "its work"}}
	for _, r := range layout(c.before) {
		rows = append(rows, []string{r.branch + c.label(r.ID), r.State.String(), after[r.ID], now[r.ID], work[r.ID]})
	}
	return s.paint(bold, fmt.Sprintf("Ann cancels request %d.", c.root)) + "\n\n" + s.table(rows)
}

// summarize writes what has become of the tree. If the screen can be drawn over,
// it has shown that already.
func (c *course) summarize(s *screen) {
	if s.drawn == 0 {
		s.printf("%s", c.overview(s))
	}
	s.printf(`
What has not started ends at once. Work that runs is told to stop and has the
last word; until it answers its request is CANCELLING, and if it never does
somebody forces it. A parent ends after its last child.
`)
}

const (
	pause    = 600 * time.Millisecond // after each redrawing
	maxLines = 23                     // that can be drawn over: a terminal has 24 at least
)

// animate returns a function that draws a course on the screen after each step. It
// is nil if that cannot be drawn over.
func animate(ctx context.Context, s *screen) func(*course) {
	if !s.live {
		return nil
	}
	return func(c *course) {
		lines := c.overview(s)
		if strings.Count(lines, "\n") > maxLines {
			return
		}
		s.redraw(lines)
		if c.done {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
