package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// Every system runs in processes of its own, which are this program once more: what it
// leaves behind is not in the way of the next, and it can be killed. Such a process gets
// a job in its environment, and answers on a pipe.

// A job is what a process is to do.
type job struct {
	System string
	Do     string // a key of tasks
	Env    env
	Shapes []shape       `json:",omitempty"`
	Tree   *tree         `json:",omitempty"`
	Limit  time.Duration // for one tree
}

// tasks are what a process can be asked for. Each gives its answers to tell.
var tasks = map[string]func(ctx context.Context, s system, j job, tell func(any)) error{
	"measure": measure,
	"shown":   showFamily,
	"escape":  escape,
	"victim":  victim,
	"look":    lookAtTree,
	"after":   after,
}

const jobVariable = "PEERS_JOB"

// isChild reports whether this process has a job.
func isChild() bool { return os.Getenv(jobVariable) != "" }

// input has a line for every word that the parent says. It ends when the parent does.
var input = make(chan string)

// runChild does the job.
func runChild() error {
	var j job
	if err := json.Unmarshal([]byte(os.Getenv(jobVariable)), &j); err != nil {
		return err
	}
	e, err := entrantOf(j.System)
	if err != nil {
		return err
	}
	go func() {
		lines := bufio.NewScanner(os.Stdin)
		for lines.Scan() {
			input <- lines.Text()
		}
		os.Exit(1) // nobody is left to listen
	}()
	answers := json.NewEncoder(os.NewFile(3, "answers"))
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Minute)
	defer stop()
	s := e.new()
	if j.Do == "look" {
		err = s.look(ctx, j.Env)
	} else {
		err = errors.Join(lookIfThere(ctx, s, j.Env), s.start(ctx, j.Env))
	}
	if err != nil {
		return fmt.Errorf("opening: %w", err)
	}
	var told error
	err = tasks[j.Do](ctx, s, j, func(answer any) { told = errors.Join(told, answers.Encode(answer)) })
	return errors.Join(err, told)
}

// lookIfThere opens the store for reading, where that does not make it.
func lookIfThere(ctx context.Context, s system, e env) error {
	if e.Dir != "" {
		return nil // start does it, when there is a file
	}
	return s.look(ctx, e)
}

// A child is a process with a job.
type child struct {
	cmd     *exec.Cmd
	in      io.WriteCloser
	answers *json.Decoder
	log     bytes.Buffer // what it printed
}

func startChild(ctx context.Context, j job) (*child, error) {
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close() // the child has it
	c := &child{cmd: exec.CommandContext(ctx, program), answers: json.NewDecoder(r)}
	c.cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.ExtraFiles = []*os.File{w}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	return c, c.cmd.Start()
}

// next reads the next answer. It returns io.EOF after the last.
func (c *child) next(answer any) error {
	if err := c.answers.Decode(answer); err != io.EOF { //nolint:errorlint // Decode returns it as it is
		return err
	}
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%w\n%s", err, c.log.Bytes())
	}
	return io.EOF
}

// only reads the one answer that there is.
func (c *child) only(answer any) error {
	if err := c.next(answer); err != nil {
		return err
	}
	if err := c.next(new(any)); !errors.Is(err, io.EOF) {
		return fmt.Errorf("after the answer: %w", err)
	}
	return nil
}

// kill kills the process at once, as kill -9 does, and waits until it is gone.
func (c *child) kill() error {
	err := c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it was killed
	return err
}

// ask starts a process and reads its one answer.
func ask(ctx context.Context, j job, answer any) error {
	c, err := startChild(ctx, j)
	if err != nil {
		return err
	}
	if err := c.only(answer); err != nil {
		return fmt.Errorf("%s, %s: %w", j.System, j.Do, err)
	}
	return nil
}
