package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/ess/cancel"
	esserrors "example.com/ess/errors"
	"example.com/ess/lifecycle"
)

const (
	plainJSON  = "application/json"
	oracleJSON = "application/vnd.oracle.resource+json"
)

// A contended store is always changed by others in between.
type contended struct{ Store }

func (contended) Apply(_ context.Context, changes []cancel.Change) ([]bool, error) {
	return make([]bool, len(changes)), nil
}

// A broken store can be read as long as the service starts.
type broken struct{ Store }

func (broken) Get(context.Context, lifecycle.ID) (lifecycle.Request, error) {
	return lifecycle.Request{}, errors.New("dial tcp 10.1.2.3:5432: password secret refused")
}

// TestCancel has the operation answer with every status, in both media types.
func TestCancel(t *testing.T) {
	t.Parallel()
	section := func(n string) string { return "https://www.rfc-editor.org/rfc/rfc9110#section-15." + n }
	refused := func(detail string) *esserrors.Problem {
		return &esserrors.Problem{Type: section("5.1"), Title: "Bad Request", Status: 400, Detail: detail}
	}
	noSuch := func(id string) *esserrors.Problem {
		return &esserrors.Problem{Type: section("5.5"), Title: "Request ID not found", Status: 404, ErrorCode: "ESS-00404", Detail: "There is no request " + id + "."}
	}
	noID := func(id string) *esserrors.Problem {
		return refused(fmt.Sprintf("%q is not a request id: integer (int64).", id))
	}
	forbidden := &esserrors.Problem{Type: section("5.4"), Title: "Not authorized for this request", Status: 403, ErrorCode: "ESS-00403", Detail: "Not authorized to cancel request 1."}
	ended := &esserrors.Problem{Type: section("5.1"), Title: "Unsupported state for operation", Status: 400, ErrorCode: "ESS-00400", Detail: `Operation "cancel" is not supported for a SINGLETON request in state SUCCEEDED.`}
	conflict := &esserrors.Problem{Type: section("5.10"), Title: "Conflict", Status: 409, ErrorCode: "ESS-00409", Detail: "Others kept changing request 1."}
	failed := &esserrors.Problem{Type: section("6.1"), Title: "Scheduling sub-system error", Status: 500, ErrorCode: "ESS-00500", Detail: "The scheduling sub-system failed to cancel request 1."}
	unacceptable := &esserrors.Problem{Type: section("5.7"), Title: "Not Acceptable", Status: 406, Detail: "Accept application/json or application/vnd.oracle.resource+json."}
	method := &esserrors.Problem{Type: section("5.6"), Title: "Method Not Allowed", Status: 405, Detail: "Use POST."}
	noBody := refused("There is no request body for this operation.")
	nobody := http.Header{}

	for _, tt := range []struct {
		name   string
		wrap   func(Store) Store
		method string // POST if empty
		id     string // 1, which waits, if empty; 2 has ended
		body   string
		header http.Header        // ann's if nil
		want   *esserrors.Problem // nil for the link
	}{
		{name: "waiting"},
		{name: "terminal", id: "2", want: ended},
		{name: "no actor", header: nobody, want: forbidden},
		{name: "empty actor", header: http.Header{"X-Actor": {""}}, want: forbidden},
		{name: "unknown actor", header: http.Header{"X-Actor": {"bob"}}, want: forbidden},
		{name: "several actors", header: http.Header{"X-Actor": {"bob", "ann"}}, want: forbidden},
		{name: "actor comes before id", header: nobody, id: "9", want: &esserrors.Problem{Type: section("5.4"), Title: forbidden.Title, Status: 403, ErrorCode: "ESS-00403", Detail: "Not authorized to cancel request 9."}},
		{name: "unknown", id: "9", want: noSuch("9")},
		{name: "zero", id: "0", want: noSuch("0")},
		{name: "negative", id: "-1", want: noSuch("-1")},
		{name: "greatest", id: "9223372036854775807", want: noSuch("9223372036854775807")},
		{name: "past int64", id: "9223372036854775808", want: noID("9223372036854775808")},
		{name: "past int64 below", id: "-9223372036854775809", want: noID("-9223372036854775809")},
		{name: "word", id: "one", want: noID("one")},
		{name: "fraction", id: "1.0", want: noID("1.0")},
		{name: "hexadecimal", id: "0x1", want: noID("0x1")},
		{name: "sign", id: "+1", want: noID("+1")},
		{name: "leading zero", id: "01", want: noID("01")},
		{name: "space", id: "1%20", want: noID("1 ")},
		{name: "slash", id: "1%2F2", want: noID("1/2")},
		{name: "NUL", id: "%00", want: noID("\x00")},
		{name: "no UTF-8", id: "%ff", want: noID("\xff")},
		{name: "other digits", id: "%D9%A1", want: noID("\u0661")},
		{name: "script", id: "%3Cscript%3E", want: noID("<script>")},
		{name: "contended", wrap: func(s Store) Store { return contended{s} }, want: conflict},
		{name: "store down", wrap: func(s Store) Store { return broken{s} }, want: failed},
		{name: "body", body: "{}", want: noBody},
		{name: "body of a byte", body: " ", want: noBody},
		{name: "GET", method: "GET", want: method},
		{name: "HEAD", method: "HEAD", want: method},
		{name: "PUT", method: "PUT", want: method},
		{name: "PATCH", method: "PATCH", want: method},
		{name: "DELETE", method: "DELETE", want: method},
		{name: "OPTIONS", method: "OPTIONS", want: method},
		{name: "small letters", method: "post", want: &esserrors.Problem{Type: section("6.2"), Title: "Not Implemented", Status: 501, Detail: `There is no method "post".`}},
		{name: "not acceptable", header: ann("Accept", "text/html"), want: unacceptable},
		{name: "several headers", header: ann("Accept", "text/html", "Accept", plainJSON)},
	} {
		for _, media := range []string{plainJSON, oracleJSON} {
			t.Run(tt.name+"/"+media, func(t *testing.T) {
				t.Parallel()
				var repo Store = insert(t,
					lifecycle.Request{ID: 1, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold},
					lifecycle.Request{ID: 2, Kind: lifecycle.KindSingleton, State: lifecycle.StateSucceeded},
				)
				if tt.wrap != nil {
					repo = tt.wrap(repo)
				}
				f := start(t, repo, nil)
				header := tt.header.Clone()
				if header == nil {
					header = ann()
				}
				want := media
				if header.Get("Accept") == "" {
					header.Set("Accept", media)
				} else {
					want = plainJSON
				}
				id := orElse(tt.id, "1")
				a := f.call(orElse(tt.method, "POST"), requests+"/"+id+"/cancel", tt.body, header)
				if got := a.header.Get("Content-Type"); got != want {
					t.Errorf("content type %q, want %q", got, want)
				}
				if tt.want == nil {
					if want := fmt.Sprintf("{\n  \"href\": \"%s%s/1\",\n  \"rel\": \"self\"\n}\n", f.url, requests); a.status != 200 || a.body != want {
						t.Errorf("%d %s, want 200 %s", a.status, a.body, want)
					}
					return
				}
				if a.status != tt.want.Status {
					t.Errorf("status %d, want %d", a.status, tt.want.Status)
				}
				if allow := a.header.Get("Allow"); (allow == "POST") != (a.status == 405) {
					t.Errorf("status %d, Allow %q", a.status, allow)
				}
				if tt.method == "HEAD" {
					return
				}
				if diff := cmp.Diff(*tt.want, problem(t, a)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
				if failed := strings.Contains(f.log.String(), "level=ERROR"); failed != (a.status == 500) {
					t.Errorf("status %d, log:\n%s", a.status, f.log.String())
				}
			})
		}
	}
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func TestStoreDown(t *testing.T) {
	t.Parallel()
	f := start(t, broken{insert(t)}, nil)
	a := f.call("GET", requests+"/1", "", nil)
	if a.status != 500 || problem(t, a).Detail != "" || strings.Contains(a.body, "secret") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if !strings.Contains(f.log.String(), "secret") {
		t.Errorf("the log does not say why:\n%s", f.log.String())
	}
}

// TestManyAtOnce has 64 clients cancel a tree at once. Each is told that it is done.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	f := start(t, nil, nil)
	f.submit(`{"children": [{"seconds": 3600, "deaf": true}` + strings.Repeat(`, {"children": [{}, {"seconds": 3600}, {"seconds": 3600}]}`, 20) + `]}`)
	f.waitFor("2", lifecycle.StateRunning)
	var clients sync.WaitGroup
	for range 64 {
		clients.Go(func() {
			if a, err := f.do(f.request(t.Context(), "POST", requests+"/1/cancel", nil, ann())); err != nil || a.status != 200 {
				t.Errorf("%d %s, %v", a.status, a.body, err)
			}
		})
	}
	clients.Wait()
	f.waitFor("1", lifecycle.StateCancelling)
	for _, c := range f.details("1").Children[1:] {
		f.waitFor(fmt.Sprint(c.ID), lifecycle.StateCancelled)
	}
	f.clock.Add(int64(time.Hour))
	if a := f.order("2", "forceCancel"); a.status != 200 {
		t.Errorf("force: %d %s", a.status, a.body)
	}
	f.waitFor("1", lifecycle.StateCancelled)
}

func TestForce(t *testing.T) {
	t.Parallel()
	f := start(t, nil, nil)
	f.submit(`{"seconds": 3600, "deaf": true}`)
	f.waitFor("1", lifecycle.StateRunning)
	if a := f.order("1", "checkInCancelling"); a.body != "false\n" {
		t.Errorf("check in before the cancel: %d %s", a.status, a.body)
	}
	f.order("1", "cancel")
	f.clock.Add(int64(29*time.Minute + 1)) // less than a second is a second to wait
	if a := f.order("1", "forceCancel"); a.status != 409 || a.header.Get("Retry-After") != "60" {
		t.Errorf("force too early: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := f.order("1", "checkInCancelling"); a.body != "true\n" {
		t.Errorf("check in after the cancel: %d %s", a.status, a.body)
	}
	f.clock.Add(int64(29 * time.Minute))
	if a := f.order("1", "forceCancel"); a.status != 409 || a.header.Get("Retry-After") != "60" {
		t.Errorf("force too early after a check-in: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if a := f.call("GET", "/overdue", "", ann()); !strings.Contains(a.body, `"overdue": []`) {
		t.Errorf("overdue before the time: %s", a.body)
	}
	f.clock.Add(int64(time.Minute))
	if a := f.call("GET", "/overdue", "", ann()); !strings.Contains(a.body, "\"overdue\": [\n    1\n  ]") {
		t.Errorf("overdue after the time: %s", a.body)
	}
	if a := f.order("1", "forceCancel"); a.status != 200 {
		t.Errorf("force: %d %s", a.status, a.body)
	}
	f.waitFor("1", lifecycle.StateCancelled)
	if a := f.order("1", "checkInCancelling"); a.status != 400 {
		t.Errorf("check in after the end: %d %s", a.status, a.body)
	}
}

func TestSubmit(t *testing.T) {
	t.Parallel()
	f := start(t, insert(t,
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateHold},
		lifecycle.Request{ID: 2, Kind: lifecycle.KindSingleton, State: lifecycle.StateHold},
		lifecycle.Request{ID: 3, Kind: lifecycle.KindParent, State: lifecycle.StateFinished},
	), nil)
	for _, tt := range []struct {
		tree   string
		want   int
		detail string
	}{
		{`{}`, 201, ""},
		{`{"seconds": 0.5}`, 201, ""},
		{`{"parent": 1}`, 201, ""},
		{`{"parent": 1, "children": [{}]}`, 201, ""},
		{``, 400, "EOF"},
		{`{`, 400, "unexpected EOF"},
		{`[]`, 400, "cannot use the array at byte 1"},
		{`null`, 400, "null is no request"},
		{`{"children": [{}, null]}`, 400, "null is no request"},
		{`{} {}`, 400, "something behind"},
		{`{}}`, 400, "something behind"},
		{`{}]`, 400, "something behind"},
		{`{} x`, 400, "something behind"},
		{`{"id": 7}`, 400, "unknown field"},
		{`{"seconds": -1}`, 400, "between"},
		{`{"seconds": 1e9}`, 400, "between"},
		{`{"seconds": 1e999}`, 400, "cannot use the number 1e999 at byte 17"},
		{`{"seconds": 1, "children": [{}]}`, 400, "either work or children"},
		{`{"deaf": true, "children": [{}]}`, 400, "either work or children"},
		{`{"children": [{"parent": 1}]}`, 400, "only the topmost"},
		{`{"children": [{"seconds": -1}]}`, 400, "between"},
		{strings.Repeat(`{"children": [`, 20_000), 400, "depth"},
		{`{"parent": 2}`, 400, "SINGLETON request in state HOLD"},
		{`{"parent": 3}`, 400, "PARENT request in state FINISHED"},
		{`{"parent": 99}`, 404, "no request 99"},
		{`{"parent": -1}`, 404, "no request -1"},
		{`{"seconds": ` + strings.Repeat("1", maxBody) + `}`, 413, "at most"},
	} {
		a := f.call("POST", requests, tt.tree, ann("Content-Type", "application/json; charset=utf-8"))
		if a.status != tt.want || !strings.Contains(a.body, tt.detail) {
			t.Errorf("submit %.50s = %d %s, want %d %q", tt.tree, a.status, a.body, tt.want, tt.detail)
		}
	}
	for _, media := range []string{"", "text/plain", "application/x-www-form-urlencoded", "*/*", ";"} {
		if a := f.call("POST", requests, "{}", ann("Content-Type", media)); a.status != 415 {
			t.Errorf("submit a tree of type %q = %d %s", media, a.status, a.body)
		}
	}
}

func TestReadManyChildren(t *testing.T) {
	t.Parallel()
	rows := []lifecycle.Request{{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateHold}}
	for id := lifecycle.ID(2); id < 2+2*pageSize; id++ {
		rows = append(rows, lifecycle.Request{ID: id, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateExpired})
	}
	f := start(t, insert(t, rows...), nil)
	next, pages := "1", 0
	for want := lifecycle.ID(2); next != ""; pages++ {
		d := f.details(next)
		for _, c := range d.Children {
			if c.ID != want {
				t.Fatalf("child %d, want %d", c.ID, want)
			}
			want++
		}
		next = ""
		for _, l := range d.Links {
			if l.Rel == "next" {
				_, next, _ = strings.Cut(l.Href, requests+"/")
			}
		}
	}
	if pages != 2 {
		t.Errorf("%d pages, want 2", pages)
	}
}

// TestCallerGoes has a caller hang up in the middle of a cancel. That is no failure, and
// the cancel is completed.
func TestCallerGoes(t *testing.T) {
	t.Parallel()
	repo := newHalting(insert(t,
		lifecycle.Request{ID: 1, Kind: lifecycle.KindParent, State: lifecycle.StateHold},
		lifecycle.Request{ID: 2, Parent: 1, Kind: lifecycle.KindChild, State: lifecycle.StateWait},
	))
	cfg := testConfig()
	cfg.every = 10 * time.Millisecond
	f := start(t, repo, cfg)
	repo.haltAfter(1)
	ctx, hangUp := context.WithCancel(t.Context())
	go func() {
		<-repo.halted
		hangUp()
	}()
	if a, err := f.do(f.request(ctx, "POST", requests+"/1/cancel", nil, ann())); !errors.Is(err, context.Canceled) {
		t.Errorf("%d %s, %v", a.status, a.body, err)
	}
	for !strings.Contains(f.log.String(), "context canceled") { // the service has seen it
		time.Sleep(time.Millisecond)
	}
	repo.release(nil)
	f.waitFor("1", lifecycle.StateCancelled)
	f.waitFor("2", lifecycle.StateCancelled)
	if log := f.log.String(); strings.Contains(log, "level=ERROR") || strings.Contains(log, "level=WARN") {
		t.Errorf("log:\n%s", log)
	}
}
