-- Usage of one deployment is counted apart where its prices differ by class, and together where they depend on quantity.

ALTER TABLE series RENAME TO old_series;

CREATE TABLE series (
    no INTEGER PRIMARY KEY, contract TEXT NOT NULL, price_version TEXT NOT NULL, customer TEXT NOT NULL,
    project TEXT NOT NULL, deployment TEXT NOT NULL, model TEXT NOT NULL, tier TEXT NOT NULL,
    price_class TEXT NOT NULL,
    UNIQUE (contract, price_version, customer, project, deployment, model, tier, price_class)
) STRICT;

INSERT INTO series SELECT no, contract, price_version, customer, project, deployment, model, tier, '' FROM old_series;
DROP TABLE old_series;

-- How much of a month's usage at one price is posted and invoiced (core.charges.Pool).
CREATE TABLE pool (
    contract TEXT NOT NULL, price_version TEXT NOT NULL, model TEXT NOT NULL, meter TEXT NOT NULL, tier TEXT NOT NULL,
    price_class TEXT NOT NULL, period TEXT NOT NULL, posted INTEGER NOT NULL DEFAULT 0,
    invoiced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (contract, price_version, model, meter, tier, price_class, period)
) STRICT, WITHOUT ROWID;
