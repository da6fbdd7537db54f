-- Sagas go back to the tables of this service. A saga of the second definition, or one that needs an operator, has no
-- form there: the rollback fails while one is open.
DO $$ BEGIN
    IF EXISTS (SELECT FROM saga.instance WHERE name IN ('ORDER', 'RETURN') AND status <> 'ENDED'
               AND (definition > 1 OR status = 'NEEDS_OPERATOR')) THEN
        RAISE EXCEPTION 'open sagas have no form in the older schema' USING ERRCODE = 'restrict_violation';
    END IF;
END $$;

CREATE TABLE public.saga (
    saga_id     uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('ORDER', 'RETURN')),
    account_id  text        NOT NULL,
    step        text        NOT NULL,
    outcome     text,
    reason      text,
    attempts    integer     NOT NULL DEFAULT 0,
    due_at      timestamptz NOT NULL DEFAULT now(),
    deadline    timestamptz NOT NULL,
    version     bigint      NOT NULL DEFAULT 1,
    traceparent text
);
CREATE INDEX open_sagas ON public.saga (due_at) WHERE step <> 'END';
CREATE INDEX waiting_returns ON public.saga (account_id) WHERE kind = 'RETURN' AND step = 'ALLOCATE';

CREATE TABLE public.saga_log (
    saga_id uuid        NOT NULL REFERENCES public.saga,
    version bigint      NOT NULL,
    step    text        NOT NULL,
    answer  text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    reason  text,
    PRIMARY KEY (saga_id, version)
);

INSERT INTO public.saga (saga_id, kind, account_id, step, outcome, reason, attempts, due_at, deadline, version, traceparent)
SELECT id, name, key, CASE status WHEN 'ENDED' THEN 'END' ELSE step END, outcome, reason, attempts, due_at, deadline, version,
       traceparent
FROM saga.instance WHERE name IN ('ORDER', 'RETURN');

-- The older log has one step for each version.
INSERT INTO public.saga_log (saga_id, version, step, answer, reason, at)
SELECT DISTINCT ON (id, version) id, version, step, CASE answer WHEN 'FAILED' THEN 'IMPOSSIBLE' ELSE answer END, reason, at
FROM saga.log WHERE name IN ('ORDER', 'RETURN') ORDER BY id, version, at DESC, step;

DELETE FROM saga.log WHERE name IN ('ORDER', 'RETURN');
DELETE FROM saga.instance WHERE name IN ('ORDER', 'RETURN');
