-- Usage entries are found by their hour: by key alone each lay on a page of its own, of an index that never ends.

ALTER TABLE journal RENAME TO old_journal;

CREATE TABLE journal (
    no INTEGER PRIMARY KEY, key TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, hash BLOB NOT NULL
) STRICT;

INSERT INTO journal SELECT no, key, kind, at, hash FROM old_journal;
DROP TABLE old_journal;

CREATE UNIQUE INDEX journal_usage ON journal (at, key) WHERE kind = 'usage';
CREATE UNIQUE INDEX journal_other ON journal (key) WHERE kind <> 'usage';
CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
