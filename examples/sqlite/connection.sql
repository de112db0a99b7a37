-- What every connection that writes has to itself, in memory.

-- What a cancel makes of a request: see cancel.Decisions.
CREATE TEMP TABLE decisions (
  kind      TEXT NOT NULL,
  old_state TEXT NOT NULL,
  state     TEXT NOT NULL,
  outcome   TEXT,
  PRIMARY KEY (kind, old_state)
) STRICT, WITHOUT ROWID;

-- The page of children that is being cancelled.
CREATE TEMP TABLE page (
  parent INTEGER NOT NULL,
  id     INTEGER NOT NULL,
  PRIMARY KEY (parent, id)
) STRICT, WITHOUT ROWID;
