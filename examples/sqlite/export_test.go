package sqlite

import (
	"context"
	"database/sql"
)

// Clear removes everything, for tests that need an empty store hundreds of times: to
// open a new file takes longer than most of them.
func (s *Store) Clear(ctx context.Context) error {
	return s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM requests; DELETE FROM changes; DELETE FROM causes")
		return err
	})
}

// DoNotWait has s not wait for the disk, for tests that do not end its process.
func (s *Store) DoNotWait(ctx context.Context) error {
	_, err := s.writer.ExecContext(ctx, "PRAGMA synchronous = OFF")
	return err
}

// Schema is what Open carries out.
var Schema = schema
