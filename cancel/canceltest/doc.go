// Package canceltest tests implementations of [cancel.Repository], and schedulers
// that are built on package cancel.
package canceltest
