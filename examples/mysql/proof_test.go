package mysql_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/mysql"
)

func TestCrashes(t *testing.T) {
	t.Log(canceltest.RunCrashes(t, newHarness(open(t, newDatabase(t, server)), mysql.Schema)))
}
func TestFaults(t *testing.T) {
	t.Log(canceltest.RunFaults(t, newHarness(open(t, newDatabase(t, server)), mysql.Schema)))
}
func TestStorm(t *testing.T) {
	canceltest.RunStorm(t, newHarness(open(t, newDatabase(t, server)), mysql.Schema), nil)
}
func TestRandom(t *testing.T) {
	canceltest.RunRandom(t, newHarness(open(t, newDatabase(t, server)), mysql.Schema), nil)
}
func TestWorlds(t *testing.T) {
	for _, w := range canceltest.Worlds() {
		t.Run(w.Name, func(t *testing.T) {
			w.Harness = newHarness(open(t, newDatabase(t, server)), mysql.Schema)
			canceltest.RunWorld(t, w)
		})
	}
}
