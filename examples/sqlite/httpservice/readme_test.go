package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the output in README.md")

// TestREADME replays the session in README.md, in bash, and compares what it prints.
func TestREADME(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	sh := newShell(t)
	block := regexp.MustCompile("(?s)```console\n(.*?)```")
	got := block.ReplaceAllStringFunc(string(text), func(session string) string {
		var b strings.Builder
		for _, command := range strings.Split("\n"+block.FindStringSubmatch(session)[1], "\n$ ")[1:] {
			line, want, _ := strings.Cut(strings.TrimSuffix(command, "\n"), "\n")
			if want != "" {
				want += "\n"
			}
			printed := sh.run(line, want)
			b.WriteString("$ " + line + "\n" + printed)
			if printed != want && !*update {
				t.Errorf("%s\nprints\n%snot\n%s(-update rewrites README.md)", line, printed, want)
			}
		}
		return "```console\n" + b.String() + "```"
	})
	if *update {
		err = os.WriteFile("README.md", []byte(got), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}

// A shell is bash in a folder of its own. Some of the programs it calls are this test: see
// tools.
type shell struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newShell(t *testing.T) *shell {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	for tool := range tools {
		if err := os.Symlink(self, filepath.Join(bin, tool)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("bash")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	sh := &shell{t, in, bufio.NewReader(out)}
	t.Cleanup(func() {
		_, _ = io.WriteString(in, "kill $(jobs -p); wait\n")
		_ = in.Close()
		_ = cmd.Wait()
	})
	return sh
}

// run runs a command and returns what it prints. What it only reads comes about in the
// background: it is read until it is what is wanted.
func (sh *shell) run(line, want string) string {
	sh.t.Helper()
	reads := strings.HasPrefix(line, "curl") && !strings.Contains(line, " -X ") && !strings.Contains(line, " --json ")
	if reads && *update {
		time.Sleep(3 * time.Second)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if got := sh.once(line); got == want || !reads || *update || time.Now().After(deadline) {
			return got
		}
	}
}

func (sh *shell) once(line string) string {
	sh.t.Helper()
	const end = "-- end --\n"
	if _, err := fmt.Fprintf(sh.in, "{ %s\n} 2>&1; echo '%s'\n", line, strings.TrimSpace(end)); err != nil {
		sh.t.Fatal(err)
	}
	var b strings.Builder
	for {
		text, err := sh.out.ReadString('\n')
		if err != nil {
			sh.t.Fatalf("%s: %q, %v", line, b.String()+text, err)
		}
		if text == end {
			return b.String()
		}
		if !died.MatchString(text) {
			b.WriteString(text)
		}
	}
}

// died is what bash says of a job that has been killed, at some time or other.
var died = regexp.MustCompile(`^bash: line \d+: +\d+ Killed `)

// tools are the programs that this one is if it is called by their names.
var tools = map[string]func(args []string) error{
	"sleep":  func([]string) error { return nil }, // because what is read is waited for
	"go":     build,
	"server": serve,
	"curl":   curl,
}

// build makes what go build -o makes.
func build(args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return os.Symlink(self, args[2])
}

// serve is the program, on any address.
func serve(args []string) error {
	os.Args = append(os.Args[:1], append(args, "-addr", "127.0.0.1:0", "-every", "100ms")...)
	main()
	return nil
}

// curl calls the service whose log is here and which was started last, in the name of
// the one in the README.
func curl(args []string) error {
	header := http.Header{}
	flags := flag.NewFlagSet("curl", flag.ContinueOnError)
	flags.Bool("s", false, "")
	method := flags.String("X", "GET", "")
	body := flags.String("json", "", "")
	flags.Func("H", "", func(line string) error {
		name, value, _ := strings.Cut(line, ": ")
		header.Set(name, value)
		return nil
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *body != "" {
		*method = http.MethodPost
		header.Set("Content-Type", "application/json")
	}
	host, path, _ := strings.Cut(strings.TrimPrefix(flags.Arg(0), "http://"), "/")
	var resp *http.Response
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		log, err := os.ReadFile("log")
		addrs := regexp.MustCompile(`addr=(\S+)`).FindAllStringSubmatch(string(log), -1)
		if len(addrs) > 0 {
			var r *http.Request
			r, err = http.NewRequest(*method, "http://"+addrs[len(addrs)-1][1]+"/"+path, strings.NewReader(*body))
			if err != nil {
				return err
			}
			r.Header, r.Host = header, host
			resp, err = http.DefaultClient.Do(r)
		}
		if resp != nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no service: %w", err)
		}
	}
	defer resp.Body.Close()
	_, err := io.Copy(os.Stdout, resp.Body)
	return err
}
