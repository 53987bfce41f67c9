-- The books: everything folded from the log. Small integers stand for what repeats (series, origin, account), times are
-- microseconds since the epoch, and an amount is micro * 1e6 + pico_rem pico.

CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE world (version INTEGER PRIMARY KEY, at INTEGER NOT NULL, body BLOB NOT NULL) STRICT;

CREATE TABLE api_key (
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
    created_at INTEGER NOT NULL, revoked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What a reading is counted for (core.charges.Series).
CREATE TABLE series (
    no INTEGER PRIMARY KEY, contract TEXT NOT NULL, price_version TEXT NOT NULL, customer TEXT NOT NULL,
    project TEXT NOT NULL, deployment TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL,
    UNIQUE (contract, price_version, customer, project, deployment, model, tier)
) STRICT;

-- What else repeats from event to event; meters are names in order, with spaces between.
CREATE TABLE origin (
    no INTEGER PRIMARY KEY, source TEXT NOT NULL, outcome TEXT NOT NULL, upstream TEXT NOT NULL, key TEXT NOT NULL,
    meters TEXT NOT NULL, UNIQUE (source, outcome, upstream, key, meters)
) STRICT;

-- seq: the order of folding, without gaps. id: 16 bytes for 32 hex digits, else text. body: packing.py.
CREATE TABLE usage_event (
    seq INTEGER PRIMARY KEY, id ANY NOT NULL UNIQUE, series INTEGER NOT NULL, admitted_at INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;

-- Which events are behind a reading: runs of seq, four bytes each after the first. An index, cut as batches were cut.
CREATE TABLE reading_events (
    hour INTEGER NOT NULL, series INTEGER NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    later BLOB NOT NULL, PRIMARY KEY (hour, series, first_seq)
) STRICT, WITHOUT ROWID;

-- The hour comes first, so that usage in the order of time touches the same few pages again and again.
CREATE TABLE reading (
    hour INTEGER NOT NULL, series INTEGER NOT NULL, meter TEXT NOT NULL, quantity INTEGER NOT NULL,
    posted INTEGER NOT NULL DEFAULT 0, invoiced INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (hour, series, meter)
) STRICT, WITHOUT ROWID;
CREATE INDEX reading_unposted ON reading (hour) WHERE quantity <> posted;
CREATE INDEX reading_uninvoiced ON reading (series, hour) WHERE posted <> invoiced;

CREATE TABLE quarantine (
    id TEXT NOT NULL, digest BLOB NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL, event BLOB NOT NULL,
    PRIMARY KEY (id, digest)
) STRICT, WITHOUT ROWID;

CREATE TABLE open_request (
    id TEXT PRIMARY KEY, admitted_at INTEGER NOT NULL, instance TEXT NOT NULL, admitted BLOB NOT NULL,
    output_tokens INTEGER NOT NULL DEFAULT 0, given_up BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX open_request_age ON open_request (admitted_at);

CREATE TABLE journal (
    no INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, at INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;

CREATE TABLE account (no INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE posting (
    entry INTEGER NOT NULL, leg INTEGER NOT NULL, account INTEGER NOT NULL, currency TEXT NOT NULL,
    micro INTEGER NOT NULL, pico_rem INTEGER NOT NULL CHECK (pico_rem BETWEEN 0 AND 999999), PRIMARY KEY (entry, leg)
) STRICT, WITHOUT ROWID;

-- through_seq: the last usage event that was folded when the invoice was issued.
CREATE TABLE invoice (
    no INTEGER PRIMARY KEY, number TEXT NOT NULL UNIQUE, period TEXT NOT NULL, contract TEXT NOT NULL,
    through_seq INTEGER NOT NULL, body BLOB NOT NULL, sha256 TEXT NOT NULL
) STRICT;
CREATE INDEX invoice_period ON invoice (period);

CREATE TABLE invoice_reading (
    invoice INTEGER NOT NULL, line INTEGER NOT NULL, series INTEGER NOT NULL, hour INTEGER NOT NULL,
    meter TEXT NOT NULL, quantity INTEGER NOT NULL, PRIMARY KEY (invoice, line, series, hour, meter)
) STRICT, WITHOUT ROWID;
CREATE INDEX invoice_reading_taken ON invoice_reading (series, hour);

CREATE TABLE closing (
    period TEXT NOT NULL, at INTEGER NOT NULL, refused TEXT NOT NULL, PRIMARY KEY (period, at)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER world_no_update BEFORE UPDATE ON world BEGIN SELECT RAISE(ABORT, 'world versions are append-only'); END;
CREATE TRIGGER world_no_delete BEFORE DELETE ON world BEGIN SELECT RAISE(ABORT, 'world versions are append-only'); END;
CREATE TRIGGER usage_event_no_update BEFORE UPDATE ON usage_event BEGIN SELECT RAISE(ABORT, 'usage events are append-only'); END;
CREATE TRIGGER usage_event_no_delete BEFORE DELETE ON usage_event BEGIN SELECT RAISE(ABORT, 'usage events are append-only'); END;
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER posting_no_update BEFORE UPDATE ON posting BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER posting_no_delete BEFORE DELETE ON posting BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER invoice_no_update BEFORE UPDATE ON invoice BEGIN SELECT RAISE(ABORT, 'invoices are frozen'); END;
CREATE TRIGGER invoice_no_delete BEFORE DELETE ON invoice BEGIN SELECT RAISE(ABORT, 'invoices are frozen'); END;
CREATE TRIGGER invoice_reading_no_update BEFORE UPDATE ON invoice_reading BEGIN SELECT RAISE(ABORT, 'invoices are frozen'); END;
CREATE TRIGGER invoice_reading_no_delete BEFORE DELETE ON invoice_reading BEGIN SELECT RAISE(ABORT, 'invoices are frozen'); END;
