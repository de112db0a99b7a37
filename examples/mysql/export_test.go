package mysql

import "example.com/ess/lifecycle"

// Row returns the columns of a request that it has by other names.
func Row(r lifecycle.Request) (status, typ string, ends, at any) {
	return statusOf[r.State], typeOf[r.Kind], outcome(r.Outcome), when(r.CheckedIn)
}
