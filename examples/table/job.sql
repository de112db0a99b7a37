-- The table that the scheduler has.
CREATE TABLE job (
  id        INTEGER PRIMARY KEY,
  parent_id INTEGER REFERENCES job, -- NULL: none
  type      TEXT NOT NULL,          -- task or flow
  status    TEXT NOT NULL,          -- queued, running, …
  payload   TEXT NOT NULL DEFAULT ''
);
