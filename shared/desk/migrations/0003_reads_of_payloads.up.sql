-- The payloads of a key are shown to an operator.
ALTER TABLE desk.act
    DROP CONSTRAINT act_action_check,
    ADD CONSTRAINT act_action_check
        CHECK (action IN ('rehearse', 'replay', 'discard', 'skip', 'resume', 'give_up', 'rebuild', 'read'));
