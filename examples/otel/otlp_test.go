package otel_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"example.com/ess/cancel"
	"example.com/ess/cancel/memrepo"
	"example.com/ess/examples/otel"
	"example.com/ess/lifecycle"
)

// A collector takes what an exporter of OTLP sends.
type collector struct {
	mu    sync.Mutex
	spans []map[string]string // attributes, and the name and what the events say
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var batch coltrace.ExportTraceServiceRequest
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(text, &batch)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range batch.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				span := map[string]string{"name": s.GetName()}
				for _, a := range s.GetAttributes() {
					span[a.GetKey()] = a.GetValue().GetStringValue()
				}
				for _, e := range s.GetEvents() {
					for _, a := range e.GetAttributes() {
						span[e.GetName()+" "+a.GetKey()] = a.GetValue().GetStringValue()
					}
				}
				c.spans = append(c.spans, span)
			}
		}
	}
}

// A garbled store fails with texts that no exporter takes.
type garbled struct{ cancel.Repository }

func (garbled) Get(context.Context, lifecycle.ID) (lifecycle.Request, error) {
	return lifecycle.Request{}, errors.New("row \xff\xfe: NUL \x00, half an \xe2\x82 and " + strings.Repeat("€", 1<<20))
}

// TestOTLP sends spans as OTLP, which is what collectors take. Text that this encoding
// refuses would lose the whole batch, with the spans of others.
func TestOTLP(t *testing.T) {
	t.Parallel()
	var got collector
	server := httptest.NewServer(&got)
	t.Cleanup(server.Close)
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	hooks, err := otel.Hooks(tracers, noop.NewMeterProvider())
	if err != nil {
		t.Fatal(err)
	}
	var repo memrepo.Repo
	if err := repo.Insert(lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait}); err != nil {
		t.Fatal(err)
	}
	dirty := cancel.Order{ID: 1, Actor: "ann\x00\xff" + strings.Repeat("n", 1000), Reason: "wrong \xf0\x28\x8c\x28 ledger" + strings.Repeat("€", 1000)}
	opts := &cancel.Options{Hooks: hooks}
	if _, err := cancel.New(&repo, opts).Cancel(t.Context(), dirty); err != nil {
		t.Fatal(err)
	}
	if _, err := cancel.New(garbled{&repo}, opts).Cancel(t.Context(), dirty); err == nil {
		t.Fatal("a store that fails does not")
	}
	if err := tracers.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if len(got.spans) != 2 { // the exporter only logs what it refuses
		t.Fatalf("the collector has got %d spans, want 2", len(got.spans))
	}
	for _, span := range got.spans {
		if !strings.HasPrefix(span["ess.actor"], "ann") || !strings.HasPrefix(span["ess.reason"], "wrong ") {
			t.Errorf("span %.500v", span)
		}
		for key, value := range span {
			if !utf8.ValidString(value) || len(value) > 4<<10+len("\uFFFD")*16 {
				t.Errorf("%s: %d bytes, %.100q", key, len(value), value)
			}
		}
	}
	if got := got.spans[1]["exception exception.message"]; !strings.Contains(got, "row \uFFFD: NUL") {
		t.Errorf("of the failure it is said: %.100q", got)
	}
}
