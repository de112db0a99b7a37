package mysql

import "example.com/ess/lifecycle"

// Configure makes the settings of Open.
var Configure = configure

// Row returns the columns of a request that have other names, or other values, in the table.
func Row(r lifecycle.Request) (typ, status string, endsAs, heardAt any) {
	return typeOf[r.Kind], statusOf[r.State], outcome(r.Outcome), when(r.CheckedIn)
}

// The names of the table.
var Types, Statuses = typeOf[1:], statusOf[1:]
