package main

import (
	"fmt"

	"example.com/ess/cancel"
	"example.com/ess/lifecycle"
)

// tour shows step by step what has become of the tree.
func (c *course) tour(s *screen) {
	s.announce("Some requests have ended, some run, some wait.")
	c.draw(s, c.before, func(r lifecycle.Request) string { return r.Kind.String() })

	s.announce("Ann cancels request %d. The call gives a receipt for each request:", c.root)
	c.list(s, c.receipts)
	s.printf("\n   In all %v. Work told to stop: %d.\n", c.result.Counts, c.result.Interrupted)

	s.announce("Right after the call. Work that runs has to answer before its request ends.")
	c.draw(s, c.after, waitsFor)

	if len(c.answers) > 0 {
		s.announce("The work answers, each in its own way:")
		rows := [][]string{{"request", "then", "error that its work returned"}}
		for _, a := range c.answers {
			rows = append(rows, []string{c.label(a.id), a.to.String(), fmt.Sprint(a.err)})
		}
		s.printf("%s", s.table(rows))
	}
	for _, f := range c.forced {
		s.announce("Request %d does not answer. Ann takes its work for dead and forces it.", f.id)
		if f.wait > 0 {
			s.printf("   Too early: that is possible in %v. (The clock of this program jumps.)\n\n", f.wait)
		}
		c.list(s, f.receipts)
		if f.late {
			s.printf("\n   The work returns after all. It is too late: CANCELLED is final.\n")
		}
	}
	s.announce("In the end. A parent that was cancelled ends after its last child.")
	c.draw(s, c.now, waitsFor)
}

func (c *course) draw(s *screen, requests []lifecycle.Request, remark func(lifecycle.Request) string) {
	var rows [][]string
	for _, r := range layout(requests) {
		rows = append(rows, []string{r.branch + c.label(r.ID), r.State.String(), remark(r.Request)})
	}
	s.printf("%s", s.table(rows))
}

func (c *course) list(s *screen, receipts []cancel.Receipt) {
	rows := [][]string{{"request", "from", "to", "disposition"}}
	for _, r := range receipts {
		rows = append(rows, []string{c.label(r.ID), r.From.String(), r.To.String(), r.Disposition.String()})
	}
	s.printf("%s", s.table(rows))
}
