-- Payments are made by events of their own from now on; the migrations of the event store ran before this one.

-- Entries of the ledger become events of their payments, numbered by payment.
INSERT INTO eventsourcing.event (aggregate, id, version, type, schema, payload, recorded_at)
SELECT 'payment', payment_id, row_number() OVER (PARTITION BY payment_id ORDER BY version), type, 1,
       jsonb_strip_nulls(jsonb_build_object(
           'payment_id', payment_id, 'account_id', account_id, 'currency_code', currency_code,
           'amount_minor', amount_minor, 'effective_at', to_char(effective_at, 'YYYY-MM-DD"T"HH24:MI:SS'),
           'reason', decline_reason, 'refund_id', refund_id)),
       recorded_at
FROM ledger_event ORDER BY recorded_at, account_id, version;

-- An id that was voided before it was authorized had no event.
INSERT INTO eventsourcing.event (aggregate, id, version, type, schema, payload)
SELECT 'payment', payment_id, 1, 'CLOSED', 1, 'null'
FROM payment WHERE account_id IS NULL ORDER BY payment_id;
