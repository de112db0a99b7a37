package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTerminal(t *testing.T) {
	t.Parallel()
	device, err := os.Open(os.DevNull) // a character device, as a terminal is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	tests := []struct {
		name string
		w    io.Writer
		env  map[string]string
		want bool
	}{
		{"terminal", device, nil, true},
		{"dumb terminal", device, map[string]string{"TERM": "dumb"}, false},
		{"file", file, nil, false},
		{"no file", new(bytes.Buffer), nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := terminal(test.w, func(name string) string { return test.env[name] })
			if got != test.want {
				t.Errorf("terminal = %v, want %v", got, test.want)
			}
		})
	}
}

// TestNoColor sets the environment, so it cannot run beside others.
func TestNoColor(t *testing.T) {
	device, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Close() })
	t.Setenv("TERM", "xterm")
	for env, want := range map[string]bool{"": true, "1": false} {
		t.Setenv("NO_COLOR", env)
		if s := newScreen(device); s.color != want || !s.live {
			t.Errorf("NO_COLOR=%q: color %v, live %v, want %v, true", env, s.color, s.live, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	rows := [][]string{{"├─ 1", "WAIT", "x"}, {"2", "CANCELLED"}}
	for color, want := range map[bool]string{
		false: "   ├─ 1  WAIT       x\n   2     CANCELLED\n",
		true:  "   ├─ 1  WAIT       x\n   2     \x1b[2mCANCELLED\x1b[0m\n",
	} {
		s := &screen{color: color}
		if got := s.table(rows); got != want {
			t.Errorf("table in color %v = %q, want %q", color, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -123: "-123", -1234: "-1,234"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if p := newProgress(&b, "building", 10); p != nil {
		t.Fatal("a progress bar where there is no terminal")
	}
	p := &progress{w: &b, what: "building", total: 4000}
	for range 4 {
		p.add(1000)
	}
	p.clear()
	bars := strings.Split(b.String(), "\r")
	if want := "building   [=======                       ]  25 %  1,000 of 4,000"; bars[1] != want {
		t.Errorf("the first bar is %q, want %q", bars[1], want)
	}
	if bars[len(bars)-1] != "\x1b[K" {
		t.Errorf("the last of %d bars is %q, want it cleared", len(bars)-1, bars[len(bars)-1])
	}
}
