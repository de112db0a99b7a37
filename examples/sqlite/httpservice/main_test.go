package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"example.com/ess/lifecycle"
)

// TestMain is the program itself if the environment says so.
func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv("HTTPSERVICE_ARGS"); ok {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A program is a running httpservice.
type program struct {
	t   *testing.T
	cmd *exec.Cmd
	url string
	log *bufio.Scanner
}

func start(t *testing.T, file string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0])}
	p.cmd.Env = append(os.Environ(), "HTTPSERVICE_ARGS=-addr 127.0.0.1:0 -operators ann -slots 2 -file "+file)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.log = bufio.NewScanner(stderr)
	if !p.log.Scan() {
		t.Fatal("it says nothing")
	}
	_, addr, _ := strings.Cut(p.log.Text(), "addr=")
	p.url = "http://" + addr + "/ess/rest/scheduler/v1/requests"
	return p
}

// end ends the program by a signal.
func (p *program) end(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	var log strings.Builder
	for p.log.Scan() {
		fmt.Fprintln(&log, p.log.Text())
	}
	if err := p.cmd.Wait(); err != nil && sig != os.Kill {
		p.t.Errorf("%v: %v; log:\n%s", sig, err, log.String())
	}
}

func (p *program) call(method, path, body string) (text string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("X-Actor", "ann")
	r.Header.Set("X-Reason", "wrong ledger")
	r.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		p.t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, got, err)
	}
	return string(got)
}

// waitFor waits until a request is in a state, and returns its reason.
func (p *program) waitFor(id int, want lifecycle.State) (reason string) {
	p.t.Helper()
	var d struct {
		State lifecycle.State
		Cause struct{ Reason string }
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := json.Unmarshal([]byte(p.call("GET", fmt.Sprint("/", id), "")), &d); err != nil {
			p.t.Fatal(err)
		}
		if d.State == want {
			return d.Cause.Reason
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("request %d is %v, want %v", id, d.State, want)
		}
	}
}

// TestRestart kills the program while work is being cancelled. The next one on the
// same file brings the tree to its end, knows why it was cancelled, and goes on with the
// ids where the one before has stopped.
func TestRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "requests.db")
	p := start(t, file)
	p.call("POST", "", `{"children": [{"seconds": 3600, "deaf": true}, {"seconds": 3600, "deaf": true}, {"children": [{"seconds": 3600}]}]}`)
	p.waitFor(2, lifecycle.StateRunning)
	p.waitFor(3, lifecycle.StateRunning)
	p.call("POST", "/1/cancel", "")
	p.waitFor(5, lifecycle.StateCancelled)
	p.waitFor(1, lifecycle.StateCancelling) // until deaf work answers
	p.end(os.Kill)

	p = start(t, file)
	for id := 1; id <= 5; id++ {
		if reason := p.waitFor(id, lifecycle.StateCancelled); reason != "wrong ledger" {
			t.Errorf("request %d was cancelled because of %q", id, reason)
		}
	}
	if got := p.call("POST", "", `{"seconds": 3600}`); !strings.Contains(got, `"id": 6`) {
		t.Errorf("the next request is %s", got)
	}
	p.waitFor(6, lifecycle.StateRunning)
	p.end(os.Interrupt)

	p = start(t, file)
	p.call("POST", "", `{"seconds": 0}`)
	p.waitFor(7, lifecycle.StateSucceeded)
	p.waitFor(6, lifecycle.StateRunning) // it still has an hour to go
	p.end(os.Interrupt)
}
