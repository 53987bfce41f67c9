-- Requests that an upstream says it served at another tier than it was asked for (core.log_records.ServedAt).
CREATE TABLE served_at (
    admitted_at INTEGER NOT NULL, id TEXT NOT NULL, tier TEXT NOT NULL, PRIMARY KEY (admitted_at, id)
) STRICT, WITHOUT ROWID;
