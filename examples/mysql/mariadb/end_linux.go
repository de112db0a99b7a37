package mariadb

import "syscall"

// endWithParent has the server killed if this process dies without stopping it.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
