package service

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the output in README.md")

// TestREADME replays the session in README.md and compares what it prints.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	sh := &shell{t: t, vars: map[string]string{}}
	block := regexp.MustCompile("(?s)```console\n(.*?)```")
	got := block.ReplaceAllStringFunc(string(text), func(session string) string {
		var b strings.Builder
		for _, command := range regexp.MustCompile(`(?m)^\$ `).Split(block.FindStringSubmatch(session)[1], -1)[1:] {
			line, want := cutCommand(command)
			b.WriteString("$ " + line + "\n" + sh.run(line, want))
		}
		return "```console\n" + b.String() + "```"
	})
	if sh.commands < 15 {
		t.Errorf("only %d commands were replayed", sh.commands)
	}
	if *update {
		err = os.WriteFile("../README.md", []byte(got), 0o644)
	} else if diff := cmp.Diff(string(text), got); diff != "" {
		t.Errorf("README.md is not what happens (-README +got), -update rewrites it:\n%s", diff)
	}
	if err != nil {
		t.Error(err)
	}
}

// cutCommand cuts a command, which ends with the line where its quotes do and no
// backslash stands, from its output.
func cutCommand(text string) (line, output string) {
	for part := range strings.Lines(text) {
		line += part
		if strings.Count(line, "'")%2 == 0 && !strings.HasSuffix(line, "\\\n") {
			break
		}
	}
	return strings.TrimSuffix(line, "\n"), text[len(line):]
}

// A shell understands what the session needs of sh, curl and grep.
type shell struct {
	t        *testing.T
	vars     map[string]string
	service  *fixture
	commands int
}

// run runs a command and returns what it prints. What it only reads comes about in the
// background: it is read until it is what is wanted.
func (sh *shell) run(line, want string) (got string) {
	sh.t.Helper()
	sh.commands++
	line = os.Expand(line, func(name string) string { return sh.vars[name] })
	line, pattern, filtered := strings.Cut(line, " | grep ")
	args := words(line)
	name, value, assigns := strings.Cut(args[0], "=")
	switch {
	case assigns:
		sh.vars[name] = value
	case args[0] == "go":
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		flags.String("addr", "", "")
		cfg := newConfig(flags)
		if err := flags.Parse(slices.DeleteFunc(args[3:], func(arg string) bool { return arg == "&" || strings.HasPrefix(arg, "2>") })); err != nil {
			sh.t.Fatal(err)
		}
		sh.service = start(sh.t, nil, cfg)
	case args[0] == "sleep":
		d, err := time.ParseDuration(args[1] + "s")
		if err != nil {
			sh.t.Fatal(err)
		}
		sh.service.clock.Add(int64(d))
	case args[0] == "kill":
		sh.service.stop()
	case args[0] == "curl":
		reads := !slices.Contains(args, "POST") && !slices.Contains(args, "--json")
		if reads && *update {
			time.Sleep(200 * time.Millisecond)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			got = sh.curl(args[1:])
			if filtered {
				got = grep(got, pattern)
			}
			if got == want || !reads || *update || time.Now().After(deadline) {
				return got
			}
		}
	default:
		sh.t.Fatalf("unknown command %q", line)
	}
	return ""
}

// words splits a command at spaces and line ends, but for those in single quotes.
func words(line string) (words []string) {
	for i, part := range strings.Split(strings.ReplaceAll(line, "\\\n", " "), "'") {
		if i%2 == 0 {
			words = append(words, strings.Fields(part)...)
		} else {
			words = append(words, part)
		}
	}
	return words
}

func grep(text, pattern string) string {
	lines := slices.DeleteFunc(strings.SplitAfter(text, "\n"), func(line string) bool { return !strings.Contains(line, pattern) })
	return strings.Join(lines, "")
}

// curl makes the call at the service of the test, in the name of the one in the README.
func (sh *shell) curl(args []string) string {
	sh.t.Helper()
	header := http.Header{}
	flags := flag.NewFlagSet("curl", flag.ContinueOnError)
	flags.Bool("s", false, "")
	method := flags.String("X", "GET", "")
	body := flags.String("json", "", "")
	format := flags.String("w", "", "")
	flags.Func("H", "", func(line string) error {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
		return nil
	})
	if err := flags.Parse(args); err != nil || flags.NArg() != 1 {
		sh.t.Fatalf("curl %q: %v", args, err)
	}
	if *body != "" {
		*method = http.MethodPost
		header.Set("Content-Type", "application/json")
		header.Set("Accept", "application/json")
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(flags.Arg(0), "http://"), "/")
	header.Set("Host", host)
	a := sh.service.call(*method, "/"+path, *body, header)
	return a.body + strings.NewReplacer(
		`%{http_code}`, fmt.Sprint(a.status),
		`%{content_type}`, a.header.Get("Content-Type"),
		`%header{retry-after}`, a.header.Get("Retry-After"),
		`\n`, "\n",
	).Replace(*format)
}
