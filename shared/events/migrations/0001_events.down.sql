-- Facts that are not published yet would be lost: the rollback fails while there are any.
DO $$ BEGIN
    IF EXISTS (SELECT FROM events.outbox) THEN
        RAISE EXCEPTION 'the outbox has facts that are not published' USING ERRCODE = 'restrict_violation';
    END IF;
END $$;
DROP TABLE events.parked;
DROP TABLE events.inbox;
DROP TABLE events.tail;
DROP TABLE events.outbox;
DROP TABLE events.chain;
