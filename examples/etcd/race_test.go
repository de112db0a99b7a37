//go:build race

package etcd_test

// The members of the cluster are processes of the test binary, and so each call costs
// three servers under the race detector.
func init() { raceDetector = true }
