package essriver_test

import (
	"testing"

	"example.com/ess/cancel/canceltest"
)

func TestContract(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newShelf(t).harness(false))
}

func TestContractOfPlainStore(t *testing.T) {
	t.Parallel()
	canceltest.Run(t, newShelf(t).harness(true))
}
