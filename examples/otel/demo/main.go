// Demo cancels a tree and prints the spans and the counts that come of it.
//
//	go run ./demo
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/examples/otel"
	"example.com/ess/lifecycle"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer) error {
	spans, reader := tracetest.NewInMemoryExporter(), sdkmetric.NewManualReader()
	hooks, err := otel.Hooks(
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	)
	if err != nil {
		return err
	}
	var repo memrepo.Repo
	err = repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	)
	if err != nil {
		return err
	}

	canceller := cancel.New(&repo, &cancel.Options{Hooks: hooks})
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		return err
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 3}, lifecycle.StateCancelled); err != nil {
		return err
	}
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 99}); err == nil {
		return errors.New("request 99 is there")
	}

	for _, s := range spans.GetSpans() {
		fmt.Fprintln(out, strings.TrimSpace(s.Name+": "+s.Status.Code.String()+" "+s.Status.Description))
		for _, a := range s.Attributes {
			fmt.Fprintf(out, "  %s = %q\n", a.Key, a.Value.String())
		}
		for _, e := range s.Events {
			fmt.Fprintln(out, "  event", e.Name)
			for _, a := range e.Attributes {
				fmt.Fprintf(out, "    %s = %q\n", a.Key, a.Value.String())
			}
		}
	}
	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &metrics); err != nil {
		return err
	}
	var counts []string
	for _, m := range metrics.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			counts = append(counts, fmt.Sprintf("%s %s: %d", m.Name, p.Attributes.Encoded(attribute.DefaultEncoder()), p.Value))
		}
	}
	slices.Sort(counts)
	_, err = fmt.Fprintln(out, strings.Join(counts, "\n"))
	return err
}
