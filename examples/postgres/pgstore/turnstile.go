package pgstore

import (
	"strconv"
	"strings"
)

// A Turnstile keeps those who submit children from starving those who want to change the
// parent, such as a cancel. They lock the parent's row, and share it: PostgreSQL lets
// one after the other have a share, and who wants the row alone waits until by
// chance nobody has. So there is an advisory lock before the row, for which PostgreSQL
// keeps a queue: each who submits takes a share of it first, and holds it until his
// transaction ends; who finds the row locked and wants it alone takes that lock alone. He
// waits for those who have got in, and who comes later waits for him.
//
// The turnstile makes it fair. What makes it right is the lock of the row.
type Turnstile struct {
	// Enter is a condition that takes a share of the lock of the request @parent.
	Enter string
	// Close is a statement that takes the locks of those of the requests @ids whose rows are
	// locked, and locks the rows of the others.
	Close string
	// Closing has the parts of Close, in a statement that has a part named fencing with the
	// ids. It has to be waited for: (SELECT count(*) FROM closed) >= 0.
	Closing string
	// Lock is a statement that locks the rows of the requests @ids.
	Lock string
}

// maxTurnstiles is how many locks one statement takes at most. PostgreSQL has room for 64
// (max_locks_per_transaction) for each connection, and fails if that is used up. Busy
// parents beyond that are waited for without a queue.
const maxTurnstiles = 32

// NewTurnstile returns the Turnstile of a table with the given column of ids.
func NewTurnstile(table, id string) Turnstile {
	fill := strings.NewReplacer("{table}", table, "{id}", id,
		"{lock}", "t."+id+"::bigint # (t.tableoid::bigint << 31)", // its name, made from the id and the table
		"{max}", strconv.Itoa(maxTurnstiles)).Replace
	closing := fill(`free AS MATERIALIZED (
    SELECT t.{id} AS id FROM {table} t
    WHERE t.{id} = ANY (ARRAY(SELECT id FROM fencing))
    FOR NO KEY UPDATE SKIP LOCKED
), closed AS MATERIALIZED (
    SELECT pg_advisory_xact_lock(busy.lock)
    FROM (
        SELECT {lock} AS lock FROM {table} t
        WHERE t.{id} = ANY (ARRAY(SELECT id FROM fencing EXCEPT SELECT id FROM free))
        ORDER BY t.{id}
        LIMIT {max}
    ) busy
)`)
	return Turnstile{
		Enter:   fill(`(SELECT pg_advisory_xact_lock_shared({lock}) IS NOT NULL FROM {table} t WHERE t.{id} = @parent::bigint)`),
		Close:   `WITH fencing AS MATERIALIZED (SELECT unnest(@ids::bigint[]) AS id), ` + closing + ` SELECT count(*) FROM closed`,
		Closing: closing,
		Lock:    fill(`SELECT FROM {table} t WHERE t.{id} = ANY (@ids::bigint[]) FOR NO KEY UPDATE`),
	}
}
