-- Sagas are in the tables of the saga library from now on; its migrations ran before this one.

INSERT INTO saga.instance (name, definition, id, key, step, status, outcome, reason, attempts, due_at, deadline, version,
                           traceparent)
SELECT kind, 1, saga_id, account_id, step, CASE step WHEN 'END' THEN 'ENDED' ELSE 'OPEN' END, outcome, reason, attempts,
       due_at, deadline, version, traceparent
FROM public.saga;

INSERT INTO saga.log (name, id, version, step, answer, reason, at)
SELECT saga.kind, saga_id, log.version, log.step,
       CASE log.answer WHEN 'REFUSED' THEN 'REFUSED' WHEN 'CANCEL_REQUESTED' THEN 'REFUSED' WHEN 'IMPOSSIBLE' THEN 'FAILED'
            ELSE 'DONE' END,
       CASE log.answer WHEN 'CANCEL_REQUESTED' THEN log.answer ELSE log.reason END, log.at
FROM public.saga_log AS log JOIN public.saga USING (saga_id);

DROP TABLE public.saga_log;
DROP TABLE public.saga;
