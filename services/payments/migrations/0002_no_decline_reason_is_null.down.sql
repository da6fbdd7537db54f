-- As on the way here: ended payments are final, and each change is compared with the events; neither is about the form.
ALTER TABLE payment DISABLE TRIGGER payment_end_is_final;
ALTER TABLE payment DISABLE TRIGGER payment_told_by_events;

ALTER TABLE payment DROP CONSTRAINT payment_decline_has_reason;
UPDATE payment SET decline_reason = '' WHERE decline_reason IS NULL;
ALTER TABLE payment
    ALTER COLUMN decline_reason SET DEFAULT '',
    ALTER COLUMN decline_reason SET NOT NULL,
    ADD CONSTRAINT payment_decline_has_reason CHECK ((state = 'DECLINED') = (decline_reason <> ''));

CREATE OR REPLACE FUNCTION check_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held payment;
    told record;
BEGIN
    SELECT * INTO held FROM payment WHERE payment_id = NEW.payment_id;
    SELECT coalesce(max(type) FILTER (WHERE type IN ('CAPTURED', 'VOIDED')),
                    max(type) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')), 'VOIDED') AS state,
           max(amount_minor) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')) AS amount_minor,
           max(effective_at) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')) AS effective_at,
           coalesce(max(decline_reason), '') AS decline_reason,
           coalesce(sum(amount_minor) FILTER (WHERE type = 'CAPTURED'), 0) AS captured_minor,
           coalesce(sum(amount_minor) FILTER (WHERE type = 'REFUNDED'), 0) AS refunded_minor,
           coalesce(max(amount_minor) FILTER (WHERE type = 'VOIDED'), held.amount_minor) AS voided_minor
      INTO told FROM ledger_event WHERE payment_id = NEW.payment_id;
    IF (held.state, held.amount_minor, held.effective_at, held.decline_reason,
        held.captured_minor, held.refunded_minor, held.amount_minor)
       IS DISTINCT FROM
       (told.state, told.amount_minor, told.effective_at, told.decline_reason,
        told.captured_minor, told.refunded_minor, told.voided_minor) THEN
        RAISE EXCEPTION 'payment % is not what its events say', NEW.payment_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_told_by_events';
    END IF;
    RETURN NULL;
END $$;

ALTER TABLE payment ENABLE TRIGGER payment_end_is_final;
ALTER TABLE payment ENABLE TRIGGER payment_told_by_events;
