-- How much of a contract's credit was posted as expired, in pico, as text.

CREATE TABLE credit (
    contract TEXT NOT NULL, credit TEXT NOT NULL, expired_pico TEXT NOT NULL, PRIMARY KEY (contract, credit)
) STRICT, WITHOUT ROWID;
