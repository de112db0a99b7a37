// Package otel traces and counts what a [cancel.Canceller] does, with OpenTelemetry.
package otel

import (
	"context"
	"fmt"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
)

const scope = "example.com/ess/examples/otel"

// Hooks returns hooks that make a span of every operation and count, by disposition,
// the requests that it touched:
//
//	canceller := cancel.New(repo, &cancel.Options{Hooks: hooks})
//
// The context that a Repository is called with carries the span, so that the spans of
// a database driver become its children.
func Hooks(tracers trace.TracerProvider, meters metric.MeterProvider) (cancel.Hooks, error) {
	tracer := tracers.Tracer(scope)
	requests, err := meters.Meter(scope).Int64Counter("ess.cancel.requests",
		metric.WithDescription("Requests touched by an operation, by what it did to them"),
		metric.WithUnit("{request}"))
	if err != nil {
		return cancel.Hooks{}, err
	}
	return cancel.Hooks{
		Start: func(ctx context.Context, i cancel.StartInfo) context.Context {
			ctx, _ = tracer.Start(ctx, "ess "+string(i.Op), trace.WithAttributes(
				attribute.Int64("ess.request.id", int64(i.ID)),
				attribute.String("ess.actor", i.Actor),
				attribute.String("ess.reason", i.Reason),
			))
			return ctx
		},
		End: func(ctx context.Context, i cancel.EndInfo) {
			span := trace.SpanFromContext(ctx)
			defer span.End()
			op := attribute.String("ess.op", string(i.Op))
			for d := range cancel.Dispositions() {
				n := int64(i.Result.Counts[d])
				if n == 0 {
					continue
				}
				span.SetAttributes(attribute.Int64("ess.requests."+d.String(), n))
				requests.Add(ctx, n, metric.WithAttributes(op, attribute.String("ess.disposition", d.String())))
			}
			if i.Err != nil {
				span.SetStatus(codes.Error, esserrors.CodeOf(i.Err).String())
				span.AddEvent("exception", trace.WithAttributes(
					attribute.String("exception.type", fmt.Sprintf("%T", i.Err)),
					attribute.String("exception.message", text(i.Err.Error())),
				))
			}
		},
	}, nil
}

// text returns what is sent of s. An error can have in it whatever a database has said,
// and where OTLP is given one text that is not valid UTF-8 it refuses the whole batch, with
// the spans of others. (The package cancel has cleaned actors and reasons itself.)
func text(s string) string {
	const most = 4 << 10
	return strings.ToValidUTF8(s[:min(len(s), most)], "\uFFFD")
}
