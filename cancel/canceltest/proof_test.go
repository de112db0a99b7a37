package canceltest_test

import (
	"flag"
	"testing"
)

var proofLong = flag.Bool("proof.long", false, "run the Proof tests at full length")

// raceDetector is set where the race detector is on.
var raceDetector bool

// short reports whether the Proof tests are to take seconds rather than minutes.
func short() bool { return (testing.Short() || raceDetector) && !*proofLong }
