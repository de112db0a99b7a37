package canceltest_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
)

// TestProofRandomWorlds compares the library with a naive model of its rules.
func TestProofRandomWorlds(t *testing.T) {
	t.Parallel()
	opts := &canceltest.RandomOptions{Worlds: 2000}
	switch {
	case short():
		opts.Worlds = 100
	case *proofLong:
		opts.Worlds, opts.Requests = 100_000, 5000
	}
	canceltest.RunRandom(t, inMemory, opts)
}

func FuzzWorlds(f *testing.F) { canceltest.Fuzz(f, inMemory) }

// TestProofConcurrentWorlds has many at work on one store. Run it with -race.
func TestProofConcurrentWorlds(t *testing.T) {
	t.Parallel()
	opts := &canceltest.StormOptions{Storms: 150}
	switch {
	case short():
		opts.Storms = 10
	case *proofLong:
		opts.Storms = 5000
	}
	canceltest.RunStorm(t, inMemory, opts)
}

// TestStormConcurrentSafe is one small storm, for runs that repeat tests.
func TestStormConcurrentSafe(t *testing.T) {
	t.Parallel()
	canceltest.RunStorm(t, inMemory, &canceltest.StormOptions{Storms: 2, Requests: 20, Goroutines: 8, Tries: 30})
}
