-- What a key used of a series in a month of the contract's zone. Usage from before this table has no key here, and the
-- month of UTC; books that are folded anew have both.
CREATE TABLE monthly_use (
    period TEXT NOT NULL, series INTEGER NOT NULL, key TEXT NOT NULL, meter TEXT NOT NULL, quantity INTEGER NOT NULL,
    PRIMARY KEY (period, series, key, meter)
) STRICT, WITHOUT ROWID;

INSERT INTO monthly_use SELECT strftime('%Y-%m', hour / 1000000, 'unixepoch'), series, '', meter, sum(quantity)
    FROM reading GROUP BY 1, 2, 4;

ALTER TABLE api_key ADD COLUMN budget TEXT NOT NULL DEFAULT '';

-- Gateways that have begun and are not lost, and what they have counted of budgets for requests that are over, as text.
CREATE TABLE instance (id TEXT PRIMARY KEY, began_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE counted (
    instance TEXT NOT NULL, counter TEXT NOT NULL, units TEXT NOT NULL, PRIMARY KEY (instance, counter)
) STRICT, WITHOUT ROWID;
