// Quickstart shows what package cancel does to a tree of requests: the nightly
// close that ships with it, a tree of the user's own, or a very large one.
//
//	go run ./examples/quickstart                         the tree before, right after and in the end
//	go run ./examples/quickstart -v                      and each step, and each way to fail
//	go run ./examples/quickstart -svg                    the same as a picture
//	go run ./examples/quickstart -tree FILE -cancel ID
//	go run ./examples/quickstart -n 1000000
//
// Of its files, demo.go and jobs.go run work and cancel it, problems.go fails in
// each of the five ways, and big.go measures. The others read tree files and draw.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"example.com/ess/cancel/memrepo"
	"example.com/ess/lifecycle"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with everything from outside as an argument. It returns the exit
// status: 0, 1 for a failure, or 2 for wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := newScreen(stdout)
	repo := new(memrepo.Repo)
	err := show(ctx, args, repo, out, stderr)
	if err != nil && ctx.Err() != nil {
		err = interrupted(repo)
	}
	status := 0
	for _, err := range []error{err, out.w.Flush()} {
		if err != nil {
			status = 1
			_, _ = fmt.Fprintf(stderr, "quickstart: %s\n", printable(err.Error()))
		}
	}
	if _, ok := errors.AsType[usageError](err); ok {
		_, _ = fmt.Fprintln(stderr, "Run it with -help for usage.")
		return 2
	}
	return status
}

// A usageError is a mistake on the command line.
type usageError string

func (e usageError) Error() string { return string(e) }

// show shows what args ask for. It keeps the requests in repo.
func show(ctx context.Context, args []string, repo *memrepo.Repo, out *screen, stderr io.Writer) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	file := flags.String("tree", "", "read the tree from this `file`, not the one that ships with the program")
	root := flags.Int64("cancel", 0, "cancel the request of this `id`, not the one that has no parent")
	verbose := flags.Bool("v", false, "show each step as well, and each way to fail")
	picture := flags.Bool("svg", false, "draw the tree as an SVG picture")
	n := flags.Int("n", 0, "cancel a tree of this `number` of requests instead, and measure")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		help(out, flags)
		return nil
	} else if err != nil {
		return usageError(err.Error())
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	switch {
	case flags.NArg() > 0:
		return usageError(fmt.Sprintf("unexpected argument %q", flags.Arg(0)))
	case given["n"] && len(given) > 1:
		return usageError("-n makes a tree of its own and draws none: leave out the other flags")
	case *picture && *verbose:
		return usageError("-svg and -v exclude each other")
	case given["n"] && *n <= 0:
		return usageError("-n must be positive")
	case given["cancel"] && *root <= 0:
		return usageError("-cancel must be positive")
	case given["n"]:
		return big(ctx, repo, *n, out, stderr)
	}
	t, err := readTree(*file)
	if err != nil {
		return err
	}
	if *root == 0 {
		if len(t.requests) > 1 && t.requests[1].Parent == 0 {
			return usageError("several requests have no parent: say which to -cancel")
		}
		*root = int64(t.requests[0].ID)
	}
	if *picture {
		c, err := runDemo(ctx, repo, t, lifecycle.ID(*root), nil)
		if err == nil {
			out.printf("%s", c.svg())
		}
		return err
	}
	c, err := runDemo(ctx, repo, t, lifecycle.ID(*root), animate(ctx, out))
	if err != nil {
		return err
	}
	c.summarize(out)
	if !*verbose {
		out.printf("\nMore: -v (each step, and each way to fail), -svg, -n 1000000, -tree FILE, -help.\n")
		return nil
	}
	out.printf("\n")
	c.tour(out)
	return problems(ctx, out)
}

func help(out *screen, flags *flag.FlagSet) {
	out.printf("Quickstart cancels a tree of requests and shows what becomes of each.\n\n")
	flags.SetOutput(out.w)
	flags.PrintDefaults()
	out.printf("\nA tree file looks as examples/quickstart/nightly.tree does:\n\n")
	for line := range strings.Lines(nightly) {
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			out.printf(" %s", comment)
		}
	}
}

// interrupted returns the error that says what Ctrl-C has left.
func interrupted(repo *memrepo.Repo) error {
	cancelled, live := 0, 0
	for r := range repo.All() {
		switch {
		case r.State == lifecycle.StateCancelled:
			cancelled++
		case lifecycle.Live.Has(r.State):
			live++
		}
	}
	return fmt.Errorf("interrupted: %s requests are CANCELLED, %s have not ended", grouped(cancelled), grouped(live))
}
