// Package pgstore is what stores on PostgreSQL over pgx have in common, whatever their
// table: package postgres and the store on the table of River are made of it.
//
// A store gives it statements. Those that read requests select the columns that a
// [Reader] reads.
package pgstore
