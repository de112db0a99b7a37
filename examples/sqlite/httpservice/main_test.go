package main

import (
	"bufio"
	"context"
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

// TestMain is the program itself if the environment says so, or a tool if its name does.
func TestMain(m *testing.M) {
	if args, ok := os.LookupEnv("HTTPSERVICE_ARGS"); ok {
		os.Args = append(os.Args[:1], strings.Fields(args)...)
		main()
		return
	}
	if tool := tools[filepath.Base(os.Args[0])]; tool != nil {
		if err := tool(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
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

// command returns the program, which is to serve a file.
func command(ctx context.Context, file string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "HTTPSERVICE_ARGS=-addr 127.0.0.1:0 -operators ann -slots 2 -every 100ms -drain 200ms -file "+file)
	return cmd
}

func start(t *testing.T, file string) *program {
	t.Helper()
	p := &program{t: t, cmd: command(t.Context(), file)}
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

// call makes a call and returns its answer, or a status of 0 if there was none.
func (p *program) call(method, path, body string) (status int, text string) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	r.Header.Set("X-Actor", "ann")
	r.Header.Set("X-Reason", "wrong ledger")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(got)
}

// do makes a call that has to succeed.
func (p *program) do(method, path, body string) string {
	p.t.Helper()
	status, text := p.call(method, path, body)
	if status/100 != 2 {
		p.t.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// submit submits a tree and returns the id of the topmost request.
func (p *program) submit(tree string) (id int) {
	p.t.Helper()
	var created struct{ ID int }
	if err := json.Unmarshal([]byte(p.do("POST", "", tree)), &created); err != nil {
		p.t.Fatal(err)
	}
	return created.ID
}

// waitFor waits until a request is in a state, and returns its reason.
func (p *program) waitFor(id int, want lifecycle.State) (reason string) {
	p.t.Helper()
	var d struct {
		State lifecycle.State
		Cause struct{ Reason string }
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if err := json.Unmarshal([]byte(p.do("GET", fmt.Sprint("/", id), "")), &d); err != nil {
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
	p.submit(`{"children": [{"seconds": 3600, "deaf": true}, {"seconds": 3600, "deaf": true}, {"children": [{"seconds": 3600}]}]}`)
	p.waitFor(2, lifecycle.StateRunning)
	p.waitFor(3, lifecycle.StateRunning)
	p.do("POST", "/1/cancel", "")
	p.waitFor(5, lifecycle.StateCancelled)
	p.waitFor(1, lifecycle.StateCancelling) // until deaf work answers
	p.end(os.Kill)

	p = start(t, file)
	for id := 1; id <= 5; id++ {
		if reason := p.waitFor(id, lifecycle.StateCancelled); reason != "wrong ledger" {
			t.Errorf("request %d was cancelled because of %q", id, reason)
		}
	}
	if id := p.submit(`{"seconds": 3600}`); id != 6 {
		t.Errorf("the next request is %d", id)
	}
	p.waitFor(6, lifecycle.StateRunning)
	p.end(os.Interrupt)

	p = start(t, file)
	p.submit(`{"seconds": 0}`)
	p.waitFor(7, lifecycle.StateSucceeded)
	p.waitFor(6, lifecycle.StateRunning) // it still has an hour to go
	p.end(os.Interrupt)
}
