package redisserver

import (
	"os/exec"
	"runtime"
	"syscall"
)

// endWithParent has the server killed if this process dies without stopping it.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }

// startAndWait keeps its thread: to Linux it is the parent, and the server would be killed
// when the thread ends.
func startAndWait(cmd *exec.Cmd, started chan<- error, done chan<- struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait() // killed
		close(done)
	}
}
