-- Takes no time, however large the table is.
ALTER TABLE jobs ADD COLUMN cancel_outcome text, ADD COLUMN cancel_checked_in timestamptz;

-- For pages of children, and for Resume. CONCURRENTLY lets the scheduler go on.
CREATE INDEX CONCURRENTLY jobs_live ON jobs (parent_id, job_id)
    WHERE status IS NULL OR status NOT IN ('EXPIRED', 'CANCELLED', 'ERROR', 'WARNING', 'SUCCEEDED', 'VALIDATION_FAILED', 'FINISHED');
CREATE INDEX CONCURRENTLY jobs_cancelling ON jobs (job_id) WHERE status = 'CANCELLING';
