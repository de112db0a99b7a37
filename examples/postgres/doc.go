// Package postgres is a [cancel.Repository] on PostgreSQL, over a table of the
// scheduler's own, and what belongs to it: admission of children ([Store.Submit],
// [Store.Admit]), interrupts across processes ([Notifier], [Listener]) and a schema
// to begin with ([Migrate]).
//
// It is an example to copy from, and complete enough to import. Its README has the
// steps by which a scheduler adopts it.
package postgres
