-- The requests of a scheduler, as package cancel sees them. A scheduler adds
-- columns of its own (what to run, when, for whom): nothing here minds.
CREATE TABLE IF NOT EXISTS requests (
  id         INTEGER PRIMARY KEY,          -- positive
  parent     INTEGER NOT NULL,             -- 0: none
  kind       TEXT    NOT NULL,             -- kinds and states are kept by name
  state      TEXT    NOT NULL,
  outcome    TEXT,                         -- only while CANCELLING
  checked_in INTEGER,                      -- microseconds since 1970; NULL: never
  cause      INTEGER REFERENCES causes,    -- that of the first change
  -- Comparisons, because for NOT IN SQLite would build a table of the list at every write.
  live       INTEGER NOT NULL AS (state <> 'EXPIRED' AND state <> 'CANCELLED' AND state <> 'ERROR' AND
    state <> 'WARNING' AND state <> 'SUCCEEDED' AND state <> 'VALIDATION_FAILED' AND state <> 'FINISHED') VIRTUAL
) STRICT;

-- Children in the order of their pages.
CREATE INDEX IF NOT EXISTS requests_children ON requests (parent, id);

-- The same without what has ended. Cancelling asks for live children only, and a
-- recurring schedule may have a million that are not.
CREATE INDEX IF NOT EXISTS requests_live ON requests (parent, id) WHERE live;

-- What Resume goes through: nearly nothing, nearly always.
CREATE INDEX IF NOT EXISTS requests_cancelling ON requests (id) WHERE state = 'CANCELLING';

-- Why requests were changed: one row for all the changes of one transaction.
CREATE TABLE IF NOT EXISTS causes (
  id     INTEGER PRIMARY KEY,
  root   INTEGER NOT NULL,                 -- the request that the operation was asked for
  actor  TEXT    NOT NULL,
  reason TEXT    NOT NULL,
  at     INTEGER                           -- microseconds since 1970
) STRICT;

-- The audit trail: every change that cancelling made, in the order of its cause. It
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
