package mysql_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
)

func TestCrashes(t *testing.T) { t.Log(canceltest.RunCrashes(t, harness(t))) }
func TestFaults(t *testing.T)  { t.Log(canceltest.RunFaults(t, harness(t))) }
func TestStorm(t *testing.T)   { canceltest.RunStorm(t, harness(t), nil) }
func TestRandom(t *testing.T)  { canceltest.RunRandom(t, harness(t), nil) }
func TestWorlds(t *testing.T) {
	for _, w := range canceltest.Worlds() {
		t.Run(w.Name, func(t *testing.T) {
			w.Harness = harness(t)
			canceltest.RunWorld(t, w)
		})
	}
}
