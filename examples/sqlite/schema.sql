-- The requests of a scheduler, as package cancel sees them. A scheduler adds
-- columns of its own (what to run, when, for whom): nothing here minds.
--
-- Names are compared one by one, because for IN SQLite would build a table of the list at
-- every write, and with IS, which also has an answer for NULL. Tests compare the lists
-- with package lifecycle.
CREATE TABLE IF NOT EXISTS requests (
  id         INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0), -- no id is handed out twice
  parent     INTEGER NOT NULL CHECK (parent >= 0 AND parent <> id), -- 0: none
  kind       TEXT    NOT NULL,             -- kinds and states are kept by name
  state      TEXT    NOT NULL,
  outcome    TEXT,                         -- only while CANCELLING
  checked_in INTEGER,                      -- microseconds since 1970; NULL: never
  attempt    INTEGER NOT NULL DEFAULT 0 CHECK (attempt >= 0), -- how often its work was started
  cause      INTEGER REFERENCES causes,    -- that of its cancel
  -- What is in no terminal state, known or not.
  live       INTEGER NOT NULL AS (
    state IS NOT 'CANCELLED' AND state IS NOT 'SUCCEEDED' AND state IS NOT 'ERROR' AND state IS NOT 'WARNING' AND
    state IS NOT 'EXPIRED' AND state IS NOT 'FINISHED' AND state IS NOT 'VALIDATION_FAILED') VIRTUAL,
  -- A row with a name that nobody knows can come from a newer version or from a slip by
  -- hand. The check refuses it. Where it got in all the same it counts as live.
  readable   INTEGER NOT NULL AS (
    (kind IS 'CHILD' OR kind IS 'SINGLETON' OR kind IS 'PARENT' OR kind IS 'SUBREQUEST_PARENT') AND
    (NOT live OR state IS 'CANCELLING' OR state IS 'WAIT' OR state IS 'READY' OR state IS 'RUNNING' OR
      state IS 'COMPLETED' OR state IS 'BLOCKED' OR state IS 'HOLD' OR state IS 'PAUSED' OR
      state IS 'PENDING_VALIDATION' OR state IS 'SCHEDULE_ENDED' OR state IS 'ERROR_AUTO_RETRY' OR
      state IS 'ERROR_MANUAL_RECOVERY') AND
    (outcome IS NULL OR state IS 'CANCELLING' AND
      (outcome IS 'CANCELLED' OR outcome IS 'SUCCEEDED' OR outcome IS 'ERROR' OR outcome IS 'WARNING'))) VIRTUAL,
  CHECK (readable)
) STRICT;

-- Fails where the table is of an earlier version.
SELECT attempt, live, readable FROM requests LIMIT 0;

-- Ids can be reserved before anything has been inserted.
INSERT INTO sqlite_sequence (name, seq)
SELECT 'requests', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'requests');

-- Children in the order of their pages.
CREATE INDEX IF NOT EXISTS requests_children ON requests (parent, id);

-- The same without what has ended. Cancelling asks for live children only, and a
-- recurring schedule may have a million that are not.
CREATE INDEX IF NOT EXISTS requests_live ON requests (parent, id) WHERE live;

-- What Resume goes through: nearly nothing, nearly always.
CREATE INDEX IF NOT EXISTS requests_cancelling ON requests (id) WHERE state = 'CANCELLING';

-- Why requests were changed: one row for all the changes of one transaction. An id that
-- came again after a clean-up would give old changes a new cause.
CREATE TABLE IF NOT EXISTS causes (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  root   INTEGER NOT NULL,                 -- the request that the operation was asked for
  actor  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  at     INTEGER                           -- microseconds since 1970
) STRICT;

-- The audit trail: every change that package cancel made, in the order of its cause. It
-- is only ever appended to, which is what makes it cheap.
CREATE TABLE IF NOT EXISTS changes (
  cause     INTEGER NOT NULL REFERENCES causes,
  request   INTEGER NOT NULL,
  trigger   TEXT,                          -- NULL: a check-in
  old_state TEXT    NOT NULL,
  state     TEXT    NOT NULL,
  outcome   TEXT,
  PRIMARY KEY (cause, request)
) STRICT, WITHOUT ROWID;
