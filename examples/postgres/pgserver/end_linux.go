package pgserver

import "syscall"

// endWithParent has the server shut down if this process dies without stopping it.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }
