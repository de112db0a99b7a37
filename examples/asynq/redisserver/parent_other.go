//go:build unix && !linux

package redisserver

import (
	"os/exec"
	"syscall"
)

// endWithParent does nothing: here the server stays if this process dies without
// stopping it.
func endWithParent(*syscall.SysProcAttr) {}

func startAndWait(cmd *exec.Cmd, started chan<- error, done chan<- struct{}) {
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // killed
		close(done)
	}
}
