package linearizability_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
	"example.com/ess/examples/linearizability"
)

// newStore stands for a reader's own.
var newStore = newMemrepo

func TestLinearizable(t *testing.T) {
	linearizability.Run(t, canceltest.Harness{New: newStore}, nil)
}
