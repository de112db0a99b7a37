//go:build race

package canceltest_test

// Under the race detector the Proof tests run as with -short: they step one goroutine at
// a time, for which it finds nothing, and take ten times as long.
func init() { raceDetector = true }
