-- What operators have done at the desk. Rows are written before the act and completed after it; nothing deletes them,
-- as people act rarely.
CREATE TABLE desk.act (
    id       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at timestamptz NOT NULL DEFAULT now(),
    -- The name of the operator's token.
    operator text        NOT NULL,
    action   text        NOT NULL CHECK (action IN ('rehearse', 'replay', 'discard', 'skip', 'resume')),
    -- The consumer, or the context, and the key.
    scope    text        NOT NULL,
    key      text        NOT NULL,
    -- The version or the decision, if the action needs one.
    detail   text        NOT NULL,
    -- The operator's reason.
    reason   text        NOT NULL,
    -- Null while the act runs, and for ever if the process died meanwhile.
    outcome  text
);
