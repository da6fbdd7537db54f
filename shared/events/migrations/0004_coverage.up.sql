-- Everything that the stream had acknowledgements for at the last look. A database that goes back in time has forgotten
-- some of what came after: the consumer reads it again.
ALTER TABLE events.coverage ADD COLUMN acked bigint NOT NULL DEFAULT 0;

-- Watermarks of keys whose last fact has an earlier sequence may be forgotten.
ALTER TABLE events.coverage ADD COLUMN forgot bigint NOT NULL DEFAULT 0;
