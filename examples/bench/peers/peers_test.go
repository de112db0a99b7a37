package main

import (
	"bytes"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// A system's process is this program once more, here the test.
func TestMain(m *testing.M) {
	if isChild() {
		exitOn(runChild())
		return
	}
	os.Exit(m.Run())
}

// A want is what has to come of a system's trees. What they took says nothing here, and is
// not looked at. Where a view depends on who is faster, it has words to choose from.
type want struct {
	census map[string]string // in the end, by the shape
	call   view              // right after the call
	end    view
	again  string // what the error of another call contains; "": there is none
	// Work went on after the store said that it, or its parent, had ended.
	childEarly, parentEarly bool
	escapes                 bool   // children that are submitted meanwhile do, though not each time
	bySelf                  bool   // a new process does what the killed one left undone
	killed                  string // in the very end
}

func wants(root, leaf string) map[string]string {
	return map[string]string{
		"4":         "parent " + root + ", 4 " + leaf,
		"2 x 2":     "parent " + root + ", 6 " + leaf,
		"4 running": "parent " + root + ", 4 " + leaf,
	}
}

var (
	wantESS = want{
		census: wants("CANCELLED", "CANCELLED"),
		call:   view{"CANCELLING", "CANCELLING", "CANCELLED", "SUCCEEDED"},
		end:    view{"CANCELLED", "SUCCEEDED", "CANCELLED", "SUCCEEDED"},
		again:  "unsupported state",
		killed: "parent CANCELLED, 10 CANCELLED",
	}
	wantDBOS = want{
		census:     wants("CANCELLED", "CANCELLED"),
		call:       view{"CANCELLED", "CANCELLED", "CANCELLED", "SUCCESS"},
		end:        view{"CANCELLED", "CANCELLED", "CANCELLED", "SUCCESS"},
		childEarly: true, parentEarly: true, escapes: true,
		killed: "parent CANCELLED, 10 CANCELLED",
	}
)

var wanted = map[string]want{
	"ess-postgres": wantESS, "ess-postgres-three": wantESS, "ess-sqlite": wantESS, "ess-sqlite-three": wantESS,
	"dbos-postgres": wantDBOS, "dbos-sqlite": wantDBOS,
	"river": {
		census:      wants("cancelled", "cancelled"),
		call:        view{"running (cancel_attempted_at)|cancelled", "running (cancel_attempted_at)", "cancelled", "completed"},
		end:         view{"cancelled", "completed", "cancelled", "completed"},
		parentEarly: true, escapes: true,
		killed: "parent cancelled, 10 cancelled",
	},
	"go-workflows": {
		census: wants("finished", "finished"),
		call:   view{"active", "active", "active|finished", "finished"},
		end:    view{"finished", "finished", "finished", "finished"},
		bySelf: true,
		killed: "parent finished, 10 finished",
	},
	"temporal": {
		census: wants("Canceled", "Canceled"),
		call:   view{"Running", "Running", "Running|Canceled", "Completed"},
		end:    view{"Canceled", "Completed", "Canceled", "Completed"},
		bySelf: true,
		killed: "parent Canceled, 10 Canceled",
	},
	"temporal-terminate": {
		census:     wants("Terminated", "Terminated"),
		call:       view{"Terminated", "Running|Terminated", "Running|Terminated", "Completed"},
		end:        view{"Terminated", "Terminated", "Terminated", "Completed"},
		again:      "already completed",
		childEarly: true, parentEarly: true,
		bySelf: true,
		killed: "parent Terminated, 10 Terminated",
	},
	"asynq": {
		census:  map[string]string{"4": "4 gone", "4 running": "4 archived"},
		call:    view{"-", "active|retry", "gone", "completed"},
		end:     view{"-", "retry", "gone", "completed"},
		escapes: true,
		killed:  "10 gone",
	},
}

// Each system really does what the tables say, on tiny trees. It is the whole program, its
// processes included.
func TestSystems(t *testing.T) {
	servers := new(servers)
	t.Cleanup(func() {
		if err := servers.stop(); err != nil {
			t.Error(err)
		}
	})
	for _, e := range entrants {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			p := newPeers(true)
			var log bytes.Buffer
			p.log, p.servers, p.rounds = &log, servers, 1
			p.only = regexp.MustCompile("^" + e.name + "$")
			if err := p.run(t.Context(), nil); err != nil {
				t.Fatalf("%v\n%s", err, &log)
			}
			w := wanted[e.name]
			checkTimes(t, p, e, w)
			if !e.variant {
				checkShown(t, p.shown[e.name], w)
				checkEscape(t, p, e, w)
				checkKilling(t, p.killings[e.name], w)
			}
			var table strings.Builder
			if err := p.write(&table); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(table.String(), "| "+e.title+" |") {
				t.Errorf("the tables have no row of %s:\n%s", e.title, &table)
			}
		})
	}
}

func checkTimes(t *testing.T, p *peers, e entrant, w want) {
	t.Helper()
	figures := p.times[e.name][0]
	for _, s := range shortShapes(e.shapes) {
		f, ok := figures[s]
		if !ok || f.Failed != "" || f.Done <= 0 || f.Call <= 0 {
			t.Errorf("%v was not measured: %+v", s, f)
		}
		if f.Census != w.census[s.String()] {
			t.Errorf("%v became %s, want %s", s, f.Census, w.census[s.String()])
		}
	}
}

func (v view) allows(got view) bool {
	in := func(words, got string) bool { return slices.Contains(strings.Split(words, "|"), got) }
	return in(v.Parent, got.Parent) && in(v.Working, got.Working) && in(v.Waiting, got.Waiting) && in(v.Finished, got.Finished)
}

func checkShown(t *testing.T, x showing, w want) {
	t.Helper()
	if !w.call.allows(x.Call) {
		t.Errorf("right after the call: %v, want %v", x.Call, w.call)
	}
	if !w.end.allows(x.End) {
		t.Errorf("in the end: %v, want %v", x.End, w.end)
	}
	if (x.ChildEarly > 0) != w.childEarly || (x.ParentEarly > 0) != w.parentEarly {
		t.Errorf("work went on for %v after its record had ended, and for %v after that of its parent; want any: %v, %v", x.ChildEarly, x.ParentEarly, w.childEarly, w.parentEarly)
	}
	if (x.Again == "") != (w.again == "") || !strings.Contains(x.Again, w.again) {
		t.Errorf("another call: %q, want %q", x.Again, w.again)
	}
}

// checkEscape tries again where nothing has escaped that can: it is a race.
func checkEscape(t *testing.T, p *peers, e entrant, w want) {
	t.Helper()
	for try := 0; w.escapes && p.escapes[e.name].Escaped == 0 && try < 5; try++ {
		if err := p.run(t.Context(), []string{"escape"}); err != nil {
			t.Fatal(err)
		}
	}
	if x := p.escapes[e.name]; (x.Escaped > 0) != w.escapes {
		t.Errorf("%d children escaped, want any: %v (%s)", x.Escaped, w.escapes, x.Census)
	}
}

func checkKilling(t *testing.T, all []killing, w want) {
	t.Helper()
	for _, k := range all {
		if got := k.Again.String(); got != w.killed {
			t.Errorf("in the end there is %s, want %s (%+v)", got, w.killed, k)
		}
		if w.bySelf && k.Opened.String() != w.killed {
			t.Errorf("a new process comes to %v by itself, want %s", k.Opened, w.killed)
		}
	}
	if len(all) == 0 {
		t.Error("nothing was killed")
	}
}

func TestRunRefuses(t *testing.T) {
	p := newPeers(true)
	if err := p.run(t.Context(), []string{"time"}); err == nil || !strings.Contains(err.Error(), `"time"`) {
		t.Errorf("got %v", err)
	}
	p.only = regexp.MustCompile("^cadence$")
	if err := p.run(t.Context(), nil); err == nil {
		t.Error("want an error where no system matches")
	}
}

// The ratio is that of the same round, and the median is taken of all rounds.
func TestTimeCell(t *testing.T) {
	s := flat[0]
	p := newPeers(false)
	round := func(ms float64) map[shape]figure {
		return map[shape]figure{s: {Shape: s, Done: time.Duration(ms * float64(time.Millisecond))}}
	}
	p.times["ess-sqlite"] = []map[shape]figure{round(1), round(10), round(2)}
	p.times["dbos-sqlite"] = []map[shape]figure{round(3), round(20), round(8)}
	p.times["asynq"] = []map[shape]figure{round(1234)}
	p.times["temporal"] = []map[shape]figure{{s: {Failed: "too long"}}}
	for name, want := range map[string]string{
		"ess-sqlite": "2.0 ms", "dbos-sqlite": "8.0 ms (3.0)", "asynq": "1,234 ms", "temporal": "not in 1m0s", "river": "–",
	} {
		e, err := entrantOf(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.timeCell(e, s); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

func TestShapes(t *testing.T) {
	var names []string
	for _, s := range shortShapes(columns) {
		names = append(names, s.String())
	}
	if want := []string{"4", "2 x 2", "4 running"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	for _, s := range columns {
		if s.Groups > 0 && s.Leaves%s.Groups != 0 {
			t.Errorf("%v has %d leaves", s, s.Leaves)
		}
	}
}
