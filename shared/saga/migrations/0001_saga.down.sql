-- Open sagas would never end: the rollback fails while there are any.
DO $$ BEGIN
    IF EXISTS (SELECT FROM saga.instance WHERE status <> 'ENDED') THEN
        RAISE EXCEPTION 'there are open sagas' USING ERRCODE = 'restrict_violation';
    END IF;
END $$;
DROP TABLE saga.log;
DROP TABLE saga.instance;
