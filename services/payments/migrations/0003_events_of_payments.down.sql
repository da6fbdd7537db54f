-- The ledger has everything that the events of payments say, and they are made from it again. An id that was voided
-- before it was authorized is a payment without an account.
ALTER TABLE eventsourcing.event DISABLE TRIGGER event_append_only;
DELETE FROM eventsourcing.event WHERE aggregate = 'payment';
ALTER TABLE eventsourcing.event ENABLE TRIGGER event_append_only;
DELETE FROM eventsourcing.snapshot WHERE aggregate = 'payment';
