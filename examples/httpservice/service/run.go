// Package service is a small scheduler with the REST operation that cancels a request:
//
//	POST /ess/rest/scheduler/v1/requests/{requestId}/cancel
//
// and beside it what one needs to try that. It serves the requests of any [Store]; a
// program is a call of [Main].
//
// Of its files, service.go has the endpoints, http.go what they share, negotiate.go
// chooses the media type, tree.go reads what is submitted, memory.go keeps it, dispatch.go
// runs the requests, report.go logs what goes wrong with that, and run.go starts and stops
// all of it.
package service

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Main is a whole program: it serves the requests of the store that open returns until
// it gets SIGINT or SIGTERM, and then closes the store if that can be closed. It adds its
// flags to those that the program has declared. They are parsed when it calls open.
func Main(open func(context.Context) (Store, error)) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := run(ctx, flag.CommandLine, os.Args[1:], open, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "httpservice: %v\n", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, flags *flag.FlagSet, args []string, open func(context.Context) (Store, error), stderr io.Writer) (err error) {
	addr := flags.String("addr", "127.0.0.1:8080", "listen on this `address`")
	drain := flags.Duration("drain", 5*time.Second, "when stopping, wait so `long` for calls to end")
	cfg := newConfig(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if cfg.grace <= 0 || cfg.slots <= 0 || cfg.every <= 0 {
		return errors.New("-grace, -slots and -every must be positive")
	}
	cfg.log = slog.New(slog.NewTextHandler(stderr, nil))
	store, err := open(ctx)
	if err != nil {
		return err
	}
	if c, ok := store.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	s := newService(store, *cfg)
	listener, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	s.log.Info("listening", "addr", listener.Addr())
	return s.serve(ctx, listener, *drain)
}

// newConfig returns what the flags, once they are parsed, say.
func newConfig(flags *flag.FlagSet) *config {
	cfg := &config{now: time.Now, hosts: []string{"localhost"}}
	flags.DurationVar(&cfg.grace, "grace", 30*time.Minute, "how `long` forceCancel waits for work to answer")
	flags.IntVar(&cfg.slots, "slots", 4, "run at most this `number` of requests at once")
	flags.DurationVar(&cfg.every, "every", 5*time.Second, "how `often` to look for cancels that were cut off")
	list := func(to *[]string) func(string) error {
		return func(names string) error {
			for name := range strings.SplitSeq(names, ",") {
				name = strings.TrimSpace(name)
				if name == "" {
					return errors.New("a name is empty")
				}
				*to = append(*to, name)
			}
			return nil
		}
	}
	flags.Func("operators", "comma-separated `names` of those who may change anything; nobody by default", list(&cfg.operators))
	flags.Func("hosts", "comma-separated `names` that clients call this service by, besides localhost and addresses", list(&cfg.hosts))
	return cfg
}

// errStops is why calls are cut off.
var errStops = errors.New("the service stops")

// serve serves on listener until ctx ends. Then it takes no more calls, waits for
// those it has, cuts off the ones that have not ended after drain, and only then stops
// the work: a call never finds the work gone. What was cut off, and the work that was
// stopped, is in the store for the next start.
func (s *service) serve(ctx context.Context, listener net.Listener, drain time.Duration) error {
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { s.jobs.run(workCtx) })
	defer work.Wait()
	defer stopWork()

	callCtx, cutOff := context.WithCancelCause(workCtx)
	stopCalls := func() { cutOff(errStops) }
	defer stopCalls()
	server := s.server()
	server.BaseContext = func(net.Listener) context.Context { return callCtx }
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.log.Info("stopping")
	defer time.AfterFunc(drain, stopCalls).Stop()
	ctx, stop := context.WithTimeout(workCtx, drain+5*time.Second)
	defer stop()
	return errors.Join(server.Shutdown(ctx), server.Close())
}

// server returns a server that no slow or talkative client can keep busy.
func (s *service) server() *http.Server {
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      5 * time.Minute, // the longest that a cancel may take
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
