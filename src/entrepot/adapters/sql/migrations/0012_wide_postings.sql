-- An amount is (wide * 2^63 + micro) * 1e6 + pico_rem pico: a day of a large customer in a small currency outgrows micro.
ALTER TABLE posting ADD COLUMN wide INTEGER NOT NULL DEFAULT 0;
