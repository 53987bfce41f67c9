-- How much of a contract's commitment is spent, in pico, as text.

CREATE TABLE commitment (
    contract TEXT NOT NULL, begins INTEGER NOT NULL, charged_pico TEXT NOT NULL, settled_pico TEXT NOT NULL,
    PRIMARY KEY (contract, begins)
) STRICT, WITHOUT ROWID;
