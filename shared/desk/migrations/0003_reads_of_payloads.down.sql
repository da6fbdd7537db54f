-- Rows of the newer program stay: the rule is for new rows.
ALTER TABLE desk.act
    DROP CONSTRAINT act_action_check,
    ADD CONSTRAINT act_action_check
        CHECK (action IN ('rehearse', 'replay', 'discard', 'skip', 'resume', 'give_up', 'rebuild')) NOT VALID;
