// Package proof says how much the heavy tests of the kit do.
//
// By default they take a second or two, and less with -short. The environment variable ESS_PROOF has them
// do more: "full" takes minutes, and is what .ci/run does; "long" takes hours.
package proof

import (
	"fmt"
	"os"
	"testing"
)

// Variable is the environment variable that says how much is done.
const Variable = "ESS_PROOF"

// Pick returns quick, full or long, as the environment says.
func Pick[T any](quick, full, long T) T {
	switch level := os.Getenv(Variable); level {
	case "":
		return quick
	case "full":
		return full
	case "long":
		return long
	default:
		panic(fmt.Sprintf("%s is %q, want full, long or nothing", Variable, level))
	}
}

// Quick returns quick, or short if the tests are run with -short.
func Quick[T any](short, quick T) T {
	if testing.Short() {
		return short
	}
	return quick
}

// Full reports whether the tests are to do more than they do by default.
func Full() bool { return Pick(false, true, true) }

// Long reports whether they are to do all they can.
func Long() bool { return Pick(false, false, true) }
