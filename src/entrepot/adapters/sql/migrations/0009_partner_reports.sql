-- What partners say they served and charge for (core.partner_usage.ReportedRow): of each cell, what was said last.

CREATE TABLE partner_file (
    partner TEXT NOT NULL, digest TEXT NOT NULL, part INTEGER NOT NULL, at INTEGER NOT NULL, file TEXT NOT NULL,
    PRIMARY KEY (partner, digest, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE partner_day (
    partner TEXT NOT NULL, starts INTEGER NOT NULL, kind TEXT NOT NULL, PRIMARY KEY (partner, starts, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE partner_cell (
    partner TEXT NOT NULL, starts INTEGER NOT NULL, account TEXT NOT NULL, key TEXT NOT NULL, item TEXT NOT NULL,
    meter TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (partner, starts, account, key, item, meter)
) STRICT, WITHOUT ROWID;
