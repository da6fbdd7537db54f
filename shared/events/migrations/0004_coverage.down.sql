ALTER TABLE events.coverage DROP COLUMN forgot, DROP COLUMN acked;
