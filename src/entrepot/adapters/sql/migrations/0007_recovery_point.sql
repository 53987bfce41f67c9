-- How far the record behind the position is folded, while it is folded in several transactions; at most one row.

CREATE TABLE recovery_point (point TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

-- A close asks of each contract whether the period has an invoice of it.
DROP INDEX invoice_contract;
CREATE INDEX invoice_contract ON invoice (contract, period);
