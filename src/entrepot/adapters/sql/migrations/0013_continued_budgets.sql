-- The first of the keys that a key replaced, one after another: its budget goes on as that one's.

ALTER TABLE api_key ADD COLUMN continues TEXT NOT NULL DEFAULT '';
