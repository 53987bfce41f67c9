-- What was settled with partners.

CREATE TABLE statement (
    no INTEGER PRIMARY KEY, number TEXT NOT NULL UNIQUE, period TEXT NOT NULL, partner TEXT NOT NULL,
    body BLOB NOT NULL, sha256 TEXT NOT NULL
) STRICT;

CREATE TRIGGER statement_no_update BEFORE UPDATE ON statement BEGIN SELECT RAISE(ABORT, 'statements are frozen'); END;
CREATE TRIGGER statement_no_delete BEFORE DELETE ON statement BEGIN SELECT RAISE(ABORT, 'statements are frozen'); END;
