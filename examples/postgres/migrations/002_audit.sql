-- One row for each change that a cancel has made. It is written in the same
-- statement as the change. Within a request, seq is the order of the changes.
CREATE TABLE ess_audit (
    request    bigint NOT NULL,
    seq        bigint GENERATED ALWAYS AS IDENTITY,
    root       bigint,      -- the request that was cancelled, forced or acknowledged
    actor      text NOT NULL,
    reason     text NOT NULL,
    trigger    text,        -- NULL: a check-in
    from_state text NOT NULL,
    to_state   text NOT NULL,
    outcome    text,        -- as in the request, after the change
    at         timestamptz NOT NULL,
    PRIMARY KEY (request, seq)
);
