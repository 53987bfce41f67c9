-- What came of holding log, store, readings, ledger and invoices against each other (core.log_records.Reconciled).

CREATE TABLE reconciliation (
    since INTEGER NOT NULL, until INTEGER NOT NULL, at INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (since, until)
) STRICT, WITHOUT ROWID;
