-- Attempts of which nobody knows what they used are found by their upstream, which is asked. told: 2 where usage is known,
-- 1 where there is no more to know, as with a refusal; of one the outcome stands behind the upstream's name in `ended`.

ALTER TABLE attempt RENAME COLUMN is_reported TO told;
UPDATE attempt SET told = 2 WHERE told = 1;
UPDATE attempt SET told = 1
WHERE told = 0 AND instr(ended, CAST(CAST(upstream AS BLOB) || X'A7' || 'refused' AS BLOB)) > 0;

CREATE INDEX attempt_untold ON attempt (upstream, id, number) WHERE told = 0 AND ended IS NOT NULL;
