package otel_test

import (
	"context"
	"fmt"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/examples/otel"
	"example.com/ess/lifecycle"
)

// run cancels a tree, and a request that is not there, and returns what was recorded.
func run() (tracetest.SpanStubs, map[string]int64, error) {
	spans := tracetest.NewInMemoryExporter()
	reader := sdkmetric.NewManualReader()
	hooks, err := otel.Hooks(
		sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)),
		sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
	)
	if err != nil {
		return nil, nil, err
	}
	var repo memrepo.Repo
	err = repo.Insert(
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateRunning},
		lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
		lifecycle.Request{ID: 3, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateRunning},
	)
	if err != nil {
		return nil, nil, err
	}
	canceller := cancel.New(&repo, &cancel.Options{Hooks: hooks})
	ctx := context.Background()
	if _, err := canceller.Cancel(ctx, cancel.Order{ID: 1, Actor: "ann", Reason: "wrong ledger"}); err != nil {
		return nil, nil, err
	}
	if _, err := canceller.Acknowledge(ctx, cancel.Order{ID: 3}, lifecycle.StateCancelled); err != nil {
		return nil, nil, err
	}
	_, _ = canceller.Cancel(ctx, cancel.Order{ID: 99}) // recorded as an error

	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &metrics); err != nil {
		return nil, nil, err
	}
	counts := map[string]int64{}
	for _, m := range metrics.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			op, _ := p.Attributes.Value("ess.op")
			disposition, _ := p.Attributes.Value("ess.disposition")
			counts[op.AsString()+": "+disposition.AsString()] = p.Value
		}
	}
	return spans.GetSpans(), counts, nil
}

func TestHooks(t *testing.T) {
	t.Parallel()
	spans, counts, err := run()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range spans {
		names = append(names, s.Name)
	}
	if got, want := fmt.Sprint(names), "[ess cancel ess acknowledge ess cancel]"; got != want {
		t.Fatalf("spans %s, want %s", got, want)
	}
	attrs := attribute.NewSet(spans[0].Attributes...)
	for key, want := range map[attribute.Key]string{
		"ess.request.id": "1", "ess.actor": "ann", "ess.reason": "wrong ledger", "ess.requests.cancelled": "1", "ess.requests.cancelling": "2",
	} {
		if got, _ := attrs.Value(key); got.String() != want {
			t.Errorf("%s is %q, want %q", key, got.String(), want)
		}
	}
	if s := spans[2]; s.Status.Code != codes.Error || s.Status.Description != "request not found" || len(s.Events) != 1 {
		t.Errorf("the span of a failure: %+v, %d events", s.Status, len(s.Events))
	}
	want := map[string]int64{"cancel: cancelled": 1, "cancel: cancelling": 2, "acknowledge: settled": 2}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("counted %v, want %v", counts, want)
	}
}
