-- Sagas from their first step to their end, and a log of what happened.

CREATE TABLE saga.instance (
    -- The saga and the version of its definition: an instance ends by the definition that it began with.
    name        text        NOT NULL,
    definition  integer     NOT NULL,
    -- The order, the return: whatever the saga is about.
    id          uuid        NOT NULL,
    -- Instances of one key are woken together.
    key         text        NOT NULL,
    -- The step to take; the last one taken once it has ended.
    step        text        NOT NULL,
    status      text        NOT NULL DEFAULT 'OPEN' CHECK (status IN ('OPEN', 'NEEDS_OPERATOR', 'ENDED')),
    -- The end that compensation leads to, and why; null on the way forward.
    outcome     text,
    reason      text,
    -- Why the step was not answered, or why an operator is needed; null once the saga goes on.
    problem     text,
    -- An operator gives the step up, for this reason.
    given_up    text,
    attempts    integer     NOT NULL DEFAULT 0,
    -- When it may be claimed: a claim moves it ahead, which is the claimant's lease.
    due_at      timestamptz NOT NULL DEFAULT now(),
    -- After this, a step that waits for no longer than the deadline is given up.
    deadline    timestamptz NOT NULL,
    -- Fences a claimant that lost its lease: every claim and every step moves it.
    version     bigint      NOT NULL DEFAULT 1,
    traceparent text,
    begun_at    timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, id),
    CONSTRAINT instance_outcome_has_reason CHECK ((outcome IS NULL) = (reason IS NULL)),
    CONSTRAINT instance_needs_operator_for_a_reason CHECK (status <> 'NEEDS_OPERATOR' OR problem IS NOT NULL)
);

CREATE INDEX instance_due ON saga.instance (name, definition, due_at) WHERE status = 'OPEN';
CREATE INDEX instance_by_key ON saga.instance (name, key) WHERE status = 'OPEN';
CREATE INDEX instance_needs_operator ON saga.instance (changed_at) WHERE status = 'NEEDS_OPERATOR';
CREATE INDEX instance_ended ON saga.instance (changed_at) WHERE status = 'ENDED';

-- What happened, step by step. Kept as long as its instance.
CREATE TABLE saga.log (
    name    text        NOT NULL,
    id      uuid        NOT NULL,
    -- That of the instance after the commit, in which each step is taken once.
    version bigint      NOT NULL,
    step    text        NOT NULL,
    answer  text        NOT NULL,
    reason  text,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, id, version, step)
);
