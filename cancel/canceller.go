package cancel

import "time"

// A Canceller cancels the requests of a [Repository], completes cancels that were cut off,
// and makes the ordinary transitions of a scheduler.
//
// It keeps nothing between calls: any number of Cancellers, in any number of
// processes, may work on one store. A Canceller is safe for concurrent use.
type Canceller struct {
	repo     Repository
	trees    TreeCanceller  // nil if repo lacks the capability
	children ChildCanceller // nil if repo lacks the capability
	settler  Settler        // nil if repo lacks the capability
	ender    ParentEnder    // nil if repo lacks the capability
	causes   CauseReader    // nil if repo lacks the capability
	opts     Options
}

// New returns a Canceller for the requests in repo. It copies opts, which may be
// nil. It panics if repo is nil, or PageSize or MaxAttempts is negative.
func New(repo Repository, opts *Options) *Canceller {
	if repo == nil {
		panic("cancel: New: nil Repository") //nolint:forbidigo // a mistake of the programmer
	}
	c := &Canceller{repo: repo}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.PageSize < 0 || c.opts.MaxAttempts < 0 {
		panic("cancel: New: negative PageSize or MaxAttempts") //nolint:forbidigo // a mistake of the programmer
	}
	if c.opts.PageSize == 0 {
		c.opts.PageSize = defaultPageSize
	}
	if c.opts.MaxAttempts == 0 {
		c.opts.MaxAttempts = 8
	}
	switch {
	case c.opts.Grace == 0:
		c.opts.Grace = 30 * time.Minute
	case c.opts.Grace < 0:
		c.opts.Grace = 0
	}
	if c.opts.Now == nil {
		c.opts.Now = time.Now //nolint:forbidigo // the default
	}
	c.trees, _ = repo.(TreeCanceller)
	c.children, _ = repo.(ChildCanceller)
	c.settler, _ = repo.(Settler)
	c.ender, _ = repo.(ParentEnder)
	c.causes, _ = repo.(CauseReader)
	return c
}
