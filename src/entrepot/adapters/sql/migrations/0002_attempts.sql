-- Attempts at upstreams beside the one that answered: our cost, never the customer's. began_at, upstream: as announced;
-- ended: core.log_records.AttemptEnded, NULL while under way, and for the attempt that answered.
CREATE TABLE attempt (
    id TEXT NOT NULL, number INTEGER NOT NULL, began_at INTEGER NOT NULL, upstream TEXT NOT NULL,
    is_reported INTEGER NOT NULL DEFAULT 0, ended BLOB, PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID;
