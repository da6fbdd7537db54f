-- The events of aggregates are deleted: they are the state of those services that keep it as events.
DROP TABLE eventsourcing.projection;
DROP TABLE eventsourcing.snapshot;
DROP TABLE eventsourcing.event;
DROP FUNCTION eventsourcing.refuse_change;
