-- When a request became CANCELLING or its work last checked in, and how often its work
-- has been started.
ALTER TABLE job ADD COLUMN stop_seen BIGINT NOT NULL DEFAULT 0; -- microseconds since 1970
ALTER TABLE job ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;

-- Pages of children are read in this order.
CREATE INDEX job_children ON job (parent_id, id);
