package canceltest_test

import "flag"

// proofLong makes the Proof tests run far more than an everyday run does.
var proofLong = flag.Bool("proof.long", false, "run the Proof tests at full length")
