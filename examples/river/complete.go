package essriver

import (
	"context"

	"github.com/jackc/pgx/v5"

	"example.com/ess/lifecycle"
)

// lockSQL waits for children that are being inserted, as [Store.Admit] has locked the parent
// for them, and has others wait that come later.
const lockSQL = `SELECT j.id FROM {schema}river_job j WHERE j.id = @id FOR UPDATE`

// completeSQL is a statement of its own, so that it sees the children that lockSQL has waited
// for.
var completeSQL = `
UPDATE {schema}river_job p
SET state = 'completed', finalized_at = now(), metadata = jsonb_set(p.metadata, '{ess}', (p.metadata->'ess') - 'state'::text)
WHERE p.id = (SELECT j.id FROM {schema}river_job j WHERE j.id = @id AND j.state = 'pending' AND ` + stateSQL + ` = 'RUNNING')
  AND NOT EXISTS (
      SELECT FROM {schema}river_job j
      WHERE j.metadata->'ess'->>'parent' IS NOT NULL AND ` + parentSQL + ` = @id AND ` + liveSQL + `)`

// Complete ends a container as SUCCEEDED, if it is RUNNING and no child of it is live, and
// reports whether it did. River does not do that. Call it when all children have been
// inserted, and whenever one of them has ended.
func (s *Store) Complete(ctx context.Context, id lifecycle.ID) (done bool, err error) {
	err = s.again(ctx, func() error {
		var batch pgx.Batch // one transaction
		batch.Queue(s.sql(lockSQL), pgx.NamedArgs{"id": id})
		batch.Queue(s.sql(completeSQL), pgx.NamedArgs{"id": id})
		results := s.db.SendBatch(ctx, &batch)
		_, err := results.Exec()
		if err == nil {
			tag, completeErr := results.Exec()
			done, err = tag.RowsAffected() == 1, completeErr
		}
		if closeErr := results.Close(); err == nil {
			err = closeErr
		}
		return err
	})
	return done && err == nil, err
}
