package service

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

// TestMain is the program itself if the environment says so.
func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv("HTTPSERVICE_ARGS"); ok {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		flag.CommandLine = flag.NewFlagSet(os.Args[0], flag.ExitOnError) // not that of package testing
		Main(inMemory)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func inMemory(context.Context) (Store, error) { return new(Memory), nil }

var began = time.Date(2026, time.January, 31, 23, 0, 0, 0, time.UTC)

// A fixture is a service that listens.
type fixture struct {
	t     *testing.T
	url   string
	clock atomic.Int64 // time that has passed since it began
	log   buffer
	stop  func() // what a signal does, and waits until the service has ended
}

// A buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// testConfig is what the flags say by default, but for an operator.
func testConfig() *config {
	cfg := newConfig(flag.NewFlagSet("", flag.ContinueOnError))
	cfg.operators = []string{"ann"}
	return cfg
}

// start starts a service over repo, or over an empty one, with testConfig or cfg.
func start(t *testing.T, repo Store, cfg *config) *fixture {
	t.Helper()
	return startDraining(t, repo, cfg, time.Minute)
}

func startDraining(t *testing.T, repo Store, cfg *config, drain time.Duration) *fixture {
	t.Helper()
	f := &fixture{t: t}
	if cfg == nil {
		cfg = testConfig()
	}
	if repo == nil {
		repo = new(Memory)
	}
	cfg.now = func() time.Time { return began.Add(time.Duration(f.clock.Load())) }
	cfg.log = newLog(&f.log)
	s := newService(repo, *cfg)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.url = "http://" + listener.Addr().String()
	ctx, signal := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, listener, drain) }()
	f.stop = sync.OnceFunc(func() {
		signal()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(f.stop)
	return f
}

// insert returns a store with these requests.
func insert(t *testing.T, requests ...lifecycle.Request) *Memory {
	t.Helper()
	store := new(Memory)
	if err := store.Insert(requests...); err != nil {
		t.Fatal(err)
	}
	for _, r := range requests {
		store.last = max(store.last, r.ID)
	}
	return store
}

// An answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

// client leaves redirects and connections alone: the tests run beside each other.
var client = &http.Client{
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// request returns a call. The header may have a Host.
func (f *fixture) request(ctx context.Context, method, path string, body io.Reader, header http.Header) *http.Request {
	f.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, f.url+path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	r.Host = header.Get("Host")
	r.Header.Del("Host")
	return r
}

func (f *fixture) call(method, path, body string, header http.Header) answer {
	f.t.Helper()
	a, err := f.do(f.request(f.t.Context(), method, path, strings.NewReader(body), header))
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) do(r *http.Request) (answer, error) {
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// ann is the header of calls by ann, with more names and values.
func ann(more ...string) http.Header {
	h := http.Header{"X-Actor": {"ann"}}
	for i := 0; i < len(more); i += 2 {
		h.Add(more[i], more[i+1])
	}
	return h
}

// order has ann do something to a request.
func (f *fixture) order(id, what string) answer {
	f.t.Helper()
	return f.call("POST", requests+"/"+id+"/"+what, "", ann())
}

// begin is like order, but does not wait for the answer, which is zero if there is none.
func (f *fixture) begin(id, what string) <-chan answer {
	f.t.Helper()
	r := f.request(f.t.Context(), "POST", requests+"/"+id+"/"+what, nil, ann())
	answered := make(chan answer, 1)
	go func() {
		a, _ := f.do(r)
		answered <- a
	}()
	return answered
}

// submit has ann submit a tree.
func (f *fixture) submit(tree string) {
	f.t.Helper()
	if a := f.call("POST", requests, tree, ann("Content-Type", "application/json")); a.status != http.StatusCreated {
		f.t.Fatalf("submit %s: %d %s", tree, a.status, a.body)
	}
}

// details returns what the service says of a request.
func (f *fixture) details(id string) (d details) {
	f.t.Helper()
	if a := f.call("GET", requests+"/"+id, "", nil); a.status != http.StatusOK {
		f.t.Fatalf("read %s: %d %s", id, a.status, a.body)
	} else if err := json.Unmarshal([]byte(a.body), &d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// waitFor waits until a request is in a state.
func (f *fixture) waitFor(id string, want lifecycle.State) {
	f.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		got := f.details(id).State
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("request %s is %v, want %v; log:\n%s", id, got, want, f.log.String())
		}
	}
}

// problem returns the error document in a, which has to have its fields and no others.
func problem(t *testing.T, a answer) (p esserrors.Problem) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&p); err != nil {
		t.Fatalf("not an error document: %v: %s", err, a.body)
	}
	if p.Status != a.status || p.Type == "" || p.Title == "" {
		t.Errorf("status %d with the document %+v", a.status, p)
	}
	return p
}
