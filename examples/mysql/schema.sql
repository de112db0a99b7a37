-- A scheduler's jobs, with names of its own. What a cancel needs and a scheduler would
-- not have anyway are the columns from ends_as on.
CREATE TABLE jobs (
  id        BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  parent_id BIGINT NOT NULL DEFAULT 0, -- 0: none
  type      ENUM ('task', 'step', 'flow', 'dynamic_flow') NOT NULL,
  status    ENUM ('unchecked', 'planned', 'queued', 'blocked', 'held', 'running', 'paused', 'finishing', 'retrying',
                  'broken', 'closing', 'stopping', 'rejected', 'expired', 'stopped', 'failed', 'warned', 'done', 'closed') NOT NULL,
  attempt   INT NOT NULL DEFAULT 0,
  children  INT NOT NULL DEFAULT 0,    -- how many it has been given: see Admit

  ends_as   ENUM ('stopped', 'failed', 'warned', 'done'), -- of a stopping job, as soon as that is known
  heard_at  DATETIME(6),               -- when it began to stop, or its work checked in; UTC
  stop_root   BIGINT,                  -- who stopped it, why and when
  stop_actor  TEXT,
  stop_reason TEXT,
  stop_at     DATETIME(6),

  -- There are no partial indexes here. An index over a computed column does the same: live
  -- is everything that is not known to have ended.
  live BOOLEAN AS ((type IN ('task', 'step', 'flow', 'dynamic_flow') AND ends_as IS NULL AND
                    status IN ('rejected', 'expired', 'stopped', 'failed', 'warned', 'done', 'closed')) IS NOT TRUE) STORED,
  KEY (parent_id, live, id), -- pages of children
  KEY (status, id),          -- what Resume goes through

  CHECK (type <> '' AND status <> ''), -- what an ENUM keeps for a value that it does not know, unless sql_mode is strict
  CHECK (ends_as IS NULL OR ends_as <> '' AND status = 'stopping')
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
