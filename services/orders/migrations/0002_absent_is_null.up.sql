-- What is absent is null, where it was an empty text; the log of sagas holds stable names.

ALTER TABLE orders ALTER COLUMN reason DROP DEFAULT, ALTER COLUMN reason DROP NOT NULL;
UPDATE orders SET reason = NULL WHERE reason = '';

ALTER TABLE saga
    ALTER COLUMN outcome DROP DEFAULT, ALTER COLUMN outcome DROP NOT NULL,
    ALTER COLUMN reason DROP DEFAULT, ALTER COLUMN reason DROP NOT NULL,
    ALTER COLUMN traceparent DROP DEFAULT, ALTER COLUMN traceparent DROP NOT NULL;
UPDATE saga SET outcome = nullif(outcome, ''), reason = nullif(reason, ''), traceparent = nullif(traceparent, '')
WHERE '' IN (outcome, reason, traceparent);

-- An answer was 'Done' or 'Refused("OUT_OF_STOCK")': its name and its reason are apart now.
ALTER TABLE saga_log ADD COLUMN reason text;
UPDATE saga_log SET
    reason = substring(answer from '^(?:Refused|Impossible)\("(.*)"\)$'),
    answer = CASE
        WHEN answer LIKE 'Refused(%' THEN 'REFUSED'
        WHEN answer LIKE 'Impossible(%' THEN 'IMPOSSIBLE'
        WHEN answer = 'AlreadyCaptured' THEN 'ALREADY_CAPTURED'
        WHEN answer = 'CancelRequested' THEN 'CANCEL_REQUESTED'
        ELSE upper(answer)
    END;
