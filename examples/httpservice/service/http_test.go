package service

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"example.com/ess/lifecycle"
)

// TestRFC9110 has a case for each sentence of RFC 9110, HTTP Semantics, that says what
// this service has to answer.
func TestRFC9110(t *testing.T) {
	t.Parallel()
	const read, cancel, tree = "GET " + requests + "/1", "POST " + requests + "/1/cancel", "POST " + requests
	cancelLike := func(method string) string { return method + strings.TrimPrefix(cancel, "POST") }
	readLike := func(method string) string { return method + strings.TrimPrefix(read, "GET") }
	json := func(more ...string) http.Header { return ann(append(more, "Content-Type", plainJSON)...) }
	for _, tt := range []struct {
		section string // of RFC 9110
		what    string
		call    string // a method and a path
		header  http.Header
		body    string
		status  int
		want    map[string]string // header fields
		has     string            // in the body of the answer
	}{
		{"4.2.1", "a Host with a port", read, ann("Host", "localhost:99"), "", 200, nil, `"http://localhost:99/`},
		{"5.1", "names of fields in any case", cancel, http.Header{"x-aCTOR": {"ann"}}, "", 200, nil, ""},
		{"5.3", "two lines of a field that is no list", cancel, ann("X-Actor", "bob"), "", 403, nil, ""},
		{"5.3", "the same, forged in front", cancel, http.Header{"X-Actor": {"bob", "ann"}}, "", 403, nil, ""},
		{"5.3", "even twice the same", cancel, ann("X-Actor", "ann"), "", 403, nil, ""},
		{"5.3", "two lines of a field that is a list", read, ann("Accept", "text/html", "Accept", oracleJSON), "", 200, map[string]string{"Content-Type": oracleJSON}, ""},
		{"5.5", "spaces around a value", cancel, http.Header{"X-Actor": {"  ann "}}, "", 200, nil, ""},
		{"5.6.1", "a list with empty elements", read, ann("Accept", ", ,"+oracleJSON+", ,"), "", 200, map[string]string{"Content-Type": oracleJSON}, ""},
		{"5.6.4", "a comma in a quoted string", read, ann("Accept", `text/html;x="a, application/json, b"`), "", 406, nil, ""},
		{"5.6.4", "a quote in a quoted string", read, ann("Accept", `text/html;x="a\", application/json, b"`), "", 406, nil, ""},
		{"5.6.4", "the end of a quoted string", read, ann("Accept", `text/html;x="a\\", application/json`), "", 200, nil, ""},
		{"7.4", "a Host that is another's", read, ann("Host", "evil.example"), "", 421, nil, `"type": "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.20"`},
		{"7.4", "a Host that is another's, in a cancel", cancel, ann("Host", "evil.example:8080"), "", 421, nil, "evil.example"},
		{"7.4", "a Host that begins like this machine's", read, ann("Host", "localhost.evil.example"), "", 421, nil, ""},
		{"7.4", "a Host that is an address of IPv6", read, ann("Host", "[::1]:80"), "", 200, nil, "http://[::1]:80/"},
		{"7.4", "a Host that the service has been given", read, ann("Host", "Scheduler.example"), "", 200, nil, ""},
		{"7.4", "whatever the path", "GET //nowhere", ann("Host", "evil.example"), "", 421, nil, ""},
		{"8.3", "a body without a type", tree, ann(), "{}", 415, map[string]string{"Accept": plainJSON + ", " + oracleJSON}, ""},
		{"8.3", "a body of two types", tree, json("Content-Type", oracleJSON), "{}", 415, nil, ""},
		{"8.3.1", "a type in capitals, with a parameter", tree, ann("Content-Type", `APPLICATION/JSON ; charset="utf-8"`), "{}", 201, nil, ""},
		{"8.4", "a body in a coding", tree, json("Content-Encoding", "gzip"), "{}", 415, map[string]string{"Accept-Encoding": "identity"}, ""},
		{"8.4", "a body in the coding that is none", tree, json("Content-Encoding", "Identity"), "{}", 201, nil, ""},
		{"8.6", "the length of the body that HEAD does not have", readLike("HEAD"), nil, "", 200, map[string]string{"Content-Length": "same"}, ""},
		{"9.1", "a method that is not known", cancelLike("BREW"), ann(), "", 501, nil, ""},
		{"9.1", "methods are in capitals", cancelLike("post"), ann(), "", 501, nil, ""},
		{"9.1", "a method that is known, but not allowed here", cancelLike("PUT"), ann(), "", 405, map[string]string{"Allow": "POST"}, `"Use POST."`},
		{"9.3.2", "HEAD wherever there is GET", readLike("HEAD"), nil, "", 200, nil, ""},
		{"9.3.7", "OPTIONS, which is optional", readLike("OPTIONS"), nil, "", 405, map[string]string{"Allow": "GET, HEAD"}, ""},
		{"10.2.1", "Allow has HEAD", readLike("DELETE"), nil, "", 405, map[string]string{"Allow": "GET, HEAD"}, ""},
		{"10.2.2", "what has been created is at Location", tree, json(), "{}", 201, map[string]string{"Location": "self"}, ""},
		{"10.2.3", "Retry-After in whole seconds", "POST " + requests + "/2/forceCancel", ann(), "", 409, map[string]string{"Retry-After": "1800"}, ""},
		{"12.4.2", "a weight of three digits", read, ann("Accept", plainJSON+";q=0.001"), "", 200, nil, ""},
		{"12.4.2", "a weight of four digits is none", read, ann("Accept", plainJSON+";q=0.0001"), "", 406, nil, ""},
		{"12.4.2", "a weight in capitals", read, ann("Accept", plainJSON+";Q=0.1, "+oracleJSON+";Q=0.2"), "", 200, map[string]string{"Content-Type": oracleJSON}, ""},
		{"12.5.1", "no Accept", read, nil, "", 200, map[string]string{"Content-Type": plainJSON}, ""},
		{"12.5.1", "the more specific range decides", read, ann("Accept", "application/json;q=0, */*"), "", 200, map[string]string{"Content-Type": oracleJSON}, ""},
		{"12.5.1", "a cancel that could not be answered is not made", cancel, ann("Accept", "text/html"), "", 406, nil, ""},
		{"12.5.5", "the answer depends on Accept", read, nil, "", 200, map[string]string{"Vary": "Accept"}, ""},
		{"12.5.5", "so do those that are none", "GET /nowhere", nil, "", 404, map[string]string{"Vary": "Accept"}, ""},
		{"13.1.1", "If-Match, where nothing can match", cancel, ann("If-Match", `"1"`), "", 412, nil, ""},
		{"13.1.1", "If-Match of a submission", tree, json("If-Match", "*"), "{}", 412, nil, ""},
		{"13.1.2", "If-None-Match, which nothing matches", cancel, ann("If-None-Match", "*"), "", 200, nil, ""},
		{"13.2.1", "conditions come last", cancel, http.Header{"If-Match": {"*"}}, "", 403, nil, ""},
		{"15.5.1", "a query that cannot be read", read + "?after=%zz", nil, "", 400, nil, "The query cannot be read."},
		{"15.5.1", "a query with a semicolon", read + "?after=1;after=2", nil, "", 400, nil, "The query cannot be read."},
		{"15.5.1", "a parameter that there is not", read + "?before=2", nil, "", 400, nil, `There is no parameter \"before\".`},
		{"15.5.1", "a parameter where there is none", cancel + "?after=1", ann(), "", 400, nil, ""},
		{"15.5.1", "a parameter twice", read + "?after=1&after=2", nil, "", 400, nil, ""},
		{"15.5.1", "a parameter without a value", read + "?after=", nil, "", 400, nil, ""},
		{"15.5.5", "nothing at this path", "GET /ess/rest/scheduler/v1", nil, "", 404, nil, ""},
		{"15.5.14", "a body that is too large", tree, json(), strings.Repeat(" ", maxBody+1), 413, nil, fmt.Sprint(maxBody)},
	} {
		t.Run(tt.section+" "+tt.what, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig()
			cfg.hosts = append(cfg.hosts, "scheduler.example")
			f := start(t, insert(t,
				lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold},
				lifecycle.Request{ID: 2, Kind: lifecycle.KindSubrequestParent, State: lifecycle.StateCancelling, CheckedIn: began},
			), cfg)
			method, path, _ := strings.Cut(tt.call, " ")
			a := f.call(method, path, tt.body, tt.header)
			if a.status != tt.status || !strings.Contains(a.body, tt.has) {
				t.Errorf("%d %s, want %d with %q", a.status, a.body, tt.status, tt.has)
			}
			if a.status >= 400 {
				problem(t, a)
			}
			for name, want := range tt.want {
				switch want {
				case "same":
					want = fmt.Sprint(len(f.call("GET", path, "", nil).body))
				case "self":
					want = f.url + requests + "/3"
				}
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: %s, want %s", name, got, want)
				}
			}
			if state := f.details("1").State; (state == lifecycle.StateCancelled) != (tt.call == cancel && a.status == 200) {
				t.Errorf("request 1 is %v after an answer of %d", state, a.status)
			}
		})
	}
}

// TestExpect has clients that send their body only when they are told to: RFC 9110,
// section 10.1.1. Who may not is told so, and neither waited for nor asked to go on.
func TestExpect(t *testing.T) {
	t.Parallel()
	f := start(t, nil, nil)
	for _, tt := range []struct{ what, header, want string }{
		{"permitted", "X-Actor: ann\r\nContent-Type: application/json\r\nExpect: 100-continue", "HTTP/1.1 100 Continue\r\n"},
		{"not permitted", "X-Actor: bob\r\nContent-Type: application/json\r\nExpect: 100-continue", "HTTP/1.1 403 "},
		{"of a type that is not read", "X-Actor: ann\r\nExpect: 100-continue", "HTTP/1.1 415 "},
		{"something else", "X-Actor: ann\r\nExpect: tea", "HTTP/1.1 417 "},
		{"not permitted, and never sent", "X-Actor: bob", "HTTP/1.1 403 "},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			for _, path := range []string{requests, requests + "/1/cancel", requests + "/1/forceCancel", requests + "/1/checkInCancelling"} {
				if path != requests && !strings.HasPrefix(tt.want, "HTTP/1.1 403 ") {
					continue
				}
				got := f.first("POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n" + tt.header + "\r\n\r\n")
				if !strings.HasPrefix(got, tt.want) {
					t.Errorf("POST %s: %q, want %q", path, got, tt.want)
				}
			}
		})
	}
}

// first sends text and returns the first line that comes back, while the connection stays
// open.
func (f *fixture) first(text string) string {
	f.t.Helper()
	conn := f.dial()
	defer conn.Close()
	if _, err := io.WriteString(conn, text); err != nil {
		f.t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		f.t.Fatal(err)
	}
	return line
}

func (f *fixture) dial() net.Conn {
	f.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err == nil {
		err = conn.SetDeadline(time.Now().Add(10 * time.Second))
	}
	if err != nil {
		f.t.Fatal(err)
	}
	return conn
}

func TestChunkedBody(t *testing.T) {
	t.Parallel()
	f := start(t, nil, nil)
	f.submit(`{"seconds": 3600}`)
	for _, tt := range []struct {
		body io.Reader // whose length is not known beforehand
		want int
	}{
		{io.MultiReader(strings.NewReader("{}")), http.StatusBadRequest},
		{iotest.OneByteReader(strings.NewReader("x")), http.StatusBadRequest},
		{io.MultiReader(strings.NewReader("")), http.StatusOK},
	} {
		a, err := f.do(f.request(t.Context(), "POST", requests+"/1/cancel", tt.body, ann()))
		if err != nil || a.status != tt.want {
			t.Errorf("%d %s, %v; want %d", a.status, a.body, err, tt.want)
		}
	}
}

// send sends text as it is and returns what comes back until the connection ends.
func (f *fixture) send(text string) string {
	f.t.Helper()
	conn := f.dial()
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, text) }()
	got, err := io.ReadAll(conn)
	if err != nil && len(got) == 0 {
		f.t.Fatal(err)
	}
	return string(got)
}

// TestWire has calls that no decent client makes.
func TestWire(t *testing.T) {
	t.Parallel()
	f := start(t, insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold}), nil)
	path := requests + "/1/cancel"
	for _, tt := range []struct{ name, text, want string }{
		{"huge header", "POST " + path + " HTTP/1.1\r\nHost: x\r\nX-Actor: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "HTTP/1.1 431 "},
		{"many headers", "POST " + path + " HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 16<<10) + "\r\n", "HTTP/1.1 431 "},
		{"huge path", "POST " + path + strings.Repeat("/", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 431 "},
		{"no HTTP", "cancel 1 please\r\n\r\n", "HTTP/1.1 400 "},
		{"no host", "POST " + path + " HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
		{"two lengths", "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "HTTP/1.1 400 "},
		{"HTTP/1.0", "POST " + path + " HTTP/1.0\r\nX-Actor: ann\r\n\r\n", `"href": "` + f.url + requests + `/1"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := f.send(tt.text); !strings.Contains(got, tt.want) {
				t.Errorf("%q has no %q", got, tt.want)
			}
		})
	}
}

// TestSlowClients do not keep the server busy.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	s := newService(new(Memory), config{log: newLog(t.Output()), operators: []string{"ann"}, hosts: []string{"x"}})
	server := s.server()
	if server.ReadHeaderTimeout <= 0 || server.ReadTimeout <= 0 || server.WriteTimeout <= 0 || server.IdleTimeout <= 0 {
		t.Fatalf("no timeouts: %+v", server)
	}
	server.ReadHeaderTimeout, server.ReadTimeout = 50*time.Millisecond, 100*time.Millisecond
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	f := &fixture{t: t, url: "http://" + listener.Addr().String()}
	for _, tt := range []struct{ text, want string }{
		{"POST " + requests + " HTTP/1.1\r\nHost: x\r\nX-Actor: ", ""},
		{"POST " + requests + " HTTP/1.1\r\nHost: x\r\nX-Actor: ann\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", "HTTP/1.1 408 "},
		{"POST " + requests + "/1/cancel HTTP/1.1\r\nHost: x\r\nX-Actor: ann\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 408 "},
	} {
		if got := f.send(tt.text); !strings.HasPrefix(got, tt.want) {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		} else if strings.Contains(got, "127.0.0.1") {
			t.Errorf("%q: the answer has addresses: %q", tt.text, got)
		}
	}
}

// TestPaths has what else can be asked for.
func TestPaths(t *testing.T) {
	t.Parallel()
	f := start(t, insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold}), nil)
	for _, tt := range []struct {
		method, path string
		want         int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"POST", "/", 404, ""},
		{"GET", requests + "/", 404, ""},
		{"GET", requests + "/1/", 404, ""},
		{"POST", requests + "/1/cancel/", 404, ""},
		{"POST", requests + "/1/Cancel", 404, ""},
		{"POST", requests + "/1/hold", 404, ""},
		{"GET", requests, 405, "POST"},
		{"POST", requests + "/1", 405, "GET, HEAD"},
		{"DELETE", requests + "/1", 405, "GET, HEAD"},
		{"GET", requests + "/1", 200, ""},
		{"HEAD", requests + "/1", 200, ""},
		{"GET", requests + "/1?after=x", 400, ""},
		{"GET", requests + "/one", 400, ""},
		{"GET", requests + "/2", 404, ""},
		{"GET", requests + "/0", 404, ""},
		{"POST", requests + "/1/forceCancel", 400, ""}, // it is not CANCELLING
		{"GET", requests + "/1/forceCancel", 405, "POST"},
		{"POST", requests + "/1/checkInCancelling", 200, ""},
		{"POST", requests + "/one/checkInCancelling", 400, ""},
		{"POST", requests + "/2/checkInCancelling", 404, ""},
		{"GET", "/health", 200, ""},
		{"POST", "/health", 405, "GET, HEAD"},
		{"GET", "/overdue", 200, ""},
		{"POST", "/overdue", 405, "GET, HEAD"},
	} {
		a := f.call(tt.method, tt.path, "", ann())
		if a.status != tt.want || a.header.Get("Allow") != tt.allow {
			t.Errorf("%s %s = %d, Allow %q; want %d, %q", tt.method, tt.path, a.status, a.header.Get("Allow"), tt.want, tt.allow)
		}
		if a.status >= 400 {
			problem(t, a)
		}
		if a.header.Get("Content-Type") != plainJSON || a.header.Get("Vary") != "Accept" {
			t.Errorf("%s %s has the header %v", tt.method, tt.path, a.header)
		}
	}
	for _, call := range []string{"POST " + requests + "/1/forceCancel", "POST " + requests + "/1/checkInCancelling", "POST " + requests, "GET /overdue"} {
		method, path, _ := strings.Cut(call, " ")
		if a := f.call(method, path, "", nil); problem(t, a).ErrorCode != "ESS-00403" {
			t.Errorf("%s without an actor = %d %s", call, a.status, a.body)
		}
	}
}

// TestKeepAlive has one connection serve several calls, though they are refused. One with
// a body that is refused ends it, so that nobody waits for the body.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	f := start(t, insert(t, lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold}), nil)
	conn := f.dial()
	defer conn.Close()
	r := bufio.NewReader(conn)
	for i, body := range []string{"", "", "{}"} {
		if _, err := fmt.Fprintf(conn, "POST %s/2/cancel HTTP/1.1\r\nHost: localhost\r\nX-Actor: ann\r\nContent-Length: %d\r\n\r\n%s", requests, len(body), body); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode/100 != 4 || resp.Close != (body != "") {
			t.Errorf("call %d: status %d, closes %v; %v", i, resp.StatusCode, resp.Close, err)
		}
	}
}
