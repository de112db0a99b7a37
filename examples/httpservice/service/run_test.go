package service

import (
	"bufio"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/ess/lifecycle"
)

// TestShutdown has a service stop in the middle of a call, which is still answered.
func TestShutdown(t *testing.T) {
	t.Parallel()
	inner := insert(t)
	repo := newHalting(inner)
	f := start(t, repo, nil)
	f.submit(`{"children": [{"seconds": 3600}, {"seconds": 3600, "deaf": true}]}`)
	f.submit(`{"seconds": 3600}`)
	f.submit(`{"seconds": 3600, "deaf": true}`)
	for _, id := range []string{"2", "3", "4", "5"} {
		f.waitFor(id, lifecycle.StateRunning)
	}
	repo.haltAfter(1)
	answered := f.begin("1", "cancel")
	<-repo.halted
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		f.stop()
	}()
	for { // until it listens no more
		conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
		if err != nil {
			break
		}
		_ = conn.Close()
	}
	select {
	case <-stopped:
		t.Error("it did not wait for the call")
	case a := <-answered:
		t.Errorf("too early: %d %s", a.status, a.body)
	case <-time.After(20 * time.Millisecond):
	}
	repo.release(nil)
	if a := <-answered; a.status != 200 {
		t.Errorf("the call in progress: %d %s", a.status, a.body)
	}
	<-stopped
	if strings.Contains(f.log.String(), "level=ERROR") {
		t.Errorf("log:\n%s", f.log.String())
	}
	// Work that was cancelled has answered, or will by the next service; other work is
	// as it was.
	want := map[lifecycle.ID]lifecycle.State{
		1: lifecycle.StateCancelled, 2: lifecycle.StateCancelled, 3: lifecycle.StateCancelled,
		4: lifecycle.StateRunning, 5: lifecycle.StateRunning,
	}
	for r := range inner.All() {
		if r.State != want[r.ID] {
			t.Errorf("request %d is %v, want %v", r.ID, r.State, want[r.ID])
		}
	}
	f = start(t, inner, nil)
	f.waitFor("4", lifecycle.StateRunning)
	f.waitFor("5", lifecycle.StateRunning)
}

// TestShutdownAtTheEnd has a service stop when some work has just been done: that it has
// is stored all the same.
func TestShutdownAtTheEnd(t *testing.T) {
	t.Parallel()
	inner := insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateWait})
	done := make(chan struct{})
	repo := &hooked{Store: inner, complete: func() {
		close(done)
		time.Sleep(50 * time.Millisecond)
	}}
	f := start(t, repo, nil)
	<-done
	f.stop()
	if r, err := inner.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateSucceeded {
		t.Errorf("request 1 is %v, %v; log:\n%s", r.State, err, f.log.String())
	}
}

// TestProgram has the program itself be ended by a signal.
func TestProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("no signals")
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), "HTTPSERVICE_ARGS=-addr 127.0.0.1:0 -operators ann,bob")
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stderr)
		if !lines.Scan() {
			t.Fatal("it says nothing")
		}
		_, addr, _ := strings.Cut(lines.Text(), "addr=")
		f := &fixture{t: t, url: "http://" + addr}
		f.submit(`{"seconds": 3600}`)
		f.waitFor("1", lifecycle.StateRunning)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var rest []string
		for lines.Scan() {
			rest = append(rest, lines.Text())
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", sig, err)
		}
		if log := strings.Join(rest, "\n"); !strings.Contains(log, "stopping") || strings.Contains(log, "level=ERROR") {
			t.Errorf("%v: log:\n%s", sig, log)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"-help", "flag: help requested"},
		{"-no-such-flag", "flag provided but not defined: -no-such-flag"},
		{"-every 0s", "-grace, -slots and -every must be positive"},
		{"-slots -1", "-grace, -slots and -every must be positive"},
		{"-grace 0s", "-grace, -slots and -every must be positive"},
		{"-addr 127.0.0.1:-1", "listen tcp: address -1: invalid port"},
	} {
		var stderr buffer
		flags := flag.NewFlagSet("httpservice", flag.ContinueOnError)
		flags.SetOutput(&stderr)
		if err := run(t.Context(), flags, strings.Fields(tt.args), inMemory, &stderr); err == nil || err.Error() != tt.want {
			t.Errorf("%s: %v, want %s", tt.args, err, tt.want)
		}
	}
}

// TestCutOff has calls that have not done anything yet be cut off when the service stops.
// They are answered, at once and truly.
func TestCutOff(t *testing.T) {
	t.Parallel()
	const want = "It is not known to have changed anything"
	repo := newHalting(insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold}))
	f := startDraining(t, repo, nil, 10*time.Millisecond)
	repo.haltAfter(0)
	canceled := f.begin("1", "cancel")
	<-repo.halted

	// A tree that its client does not send to the end.
	conn := f.dial()
	defer conn.Close()
	in := bufio.NewReader(conn)
	_, err := io.WriteString(conn, "POST "+requests+" HTTP/1.1\r\nHost: localhost\r\nX-Actor: ann\r\n"+
		"Content-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := in.ReadString('\n'); !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = in.ReadString('\n')

	f.stop()
	if a := <-canceled; a.status != http.StatusServiceUnavailable || !strings.Contains(a.body, want) {
		t.Errorf("cancel: %d %s", a.status, a.body)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(text), want) {
		t.Errorf("submit: %d %s, %v", resp.StatusCode, text, err)
	}
	if r, err := repo.Get(t.Context(), 1); err != nil || r.State != lifecycle.StateHold {
		t.Errorf("request 1 is %v, %v", r.State, err)
	}
}

// TestNames has the flags that are lists.
func TestNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		names string
		want  []string // nil if they are refused
	}{
		{"ann", []string{"ann"}},
		{"ann,bob", []string{"ann", "bob"}},
		{" ann , bob lee ", []string{"ann", "bob lee"}},
		{"", nil},
		{" ", nil},
		{"ann,", nil},
		{"ann,,bob", nil},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		cfg := newConfig(flags)
		err := flags.Parse([]string{"-operators", tt.names, "-hosts", tt.names})
		if (err == nil) != (tt.want != nil) || err == nil && (!slices.Equal(cfg.operators, tt.want) || !slices.Equal(cfg.hosts[1:], tt.want)) {
			t.Errorf("%q: %q, %q, %v; want %q", tt.names, cfg.operators, cfg.hosts, err, tt.want)
		}
	}
}
