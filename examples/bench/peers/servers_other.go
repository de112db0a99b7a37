//go:build !linux

package main

import "syscall"

// endWithParent does nothing: here the server stays if this process dies without
// stopping it.
func endWithParent(*syscall.SysProcAttr) {}
