-- A step of a saga is given up, and a stream is rebuilt.
ALTER TABLE desk.act
    DROP CONSTRAINT act_action_check,
    ADD CONSTRAINT act_action_check
        CHECK (action IN ('rehearse', 'replay', 'discard', 'skip', 'resume', 'give_up', 'rebuild'));
