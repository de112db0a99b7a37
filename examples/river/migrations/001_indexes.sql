-- River's table as it is, and two indexes. Jobs without a parent are not in the first,
-- and those that nobody is cancelling not in the second. On a large table create them
-- beforehand, with CONCURRENTLY and outside of a transaction.

-- The children of a job.
CREATE INDEX IF NOT EXISTS river_job_ess_parent ON river_job (((metadata->'ess'->>'parent')::bigint), id)
    WHERE metadata->'ess'->>'parent' IS NOT NULL;

-- What a cancel has not finished.
CREATE INDEX IF NOT EXISTS river_job_ess_cancelling ON river_job (id)
    WHERE state NOT IN ('cancelled', 'completed', 'discarded') AND metadata ? 'cancel_attempted_at';
