UPDATE saga_log SET answer = CASE answer
        WHEN 'REFUSED' THEN 'Refused("' || coalesce(reason, '') || '")'
        WHEN 'IMPOSSIBLE' THEN 'Impossible("' || coalesce(reason, '') || '")'
        WHEN 'ALREADY_CAPTURED' THEN 'AlreadyCaptured'
        WHEN 'CANCEL_REQUESTED' THEN 'CancelRequested'
        ELSE initcap(answer)
    END;
ALTER TABLE saga_log DROP COLUMN reason;

UPDATE saga SET outcome = coalesce(outcome, ''), reason = coalesce(reason, ''), traceparent = coalesce(traceparent, '');
ALTER TABLE saga
    ALTER COLUMN outcome SET DEFAULT '', ALTER COLUMN outcome SET NOT NULL,
    ALTER COLUMN reason SET DEFAULT '', ALTER COLUMN reason SET NOT NULL,
    ALTER COLUMN traceparent SET DEFAULT '', ALTER COLUMN traceparent SET NOT NULL;

UPDATE orders SET reason = '' WHERE reason IS NULL;
ALTER TABLE orders ALTER COLUMN reason SET DEFAULT '', ALTER COLUMN reason SET NOT NULL;
