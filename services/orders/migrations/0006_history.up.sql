-- The changes of orders are recorded as events from now on, and followed by a history that clients read; the migrations
-- of the event store ran before this one.

-- What is known of the changes of present orders.
WITH taken AS (
    SELECT id, min(at) AS confirmed_at FROM saga.log WHERE name = 'ORDER' AND step = 'CONFIRM' AND answer = 'DONE' GROUP BY id
), change (order_id, step, type, payload, at) AS (
    SELECT order_id, 1, 'PLACED',
           jsonb_build_object('account_id', account_id, 'currency_code', currency_code, 'total_minor', total_minor), created_at
    FROM orders
    UNION ALL
    SELECT order_id, 2, 'CANCEL_REQUESTED', 'null', created_at FROM orders WHERE cancel_requested
    UNION ALL
    SELECT order_id, 3, 'STATE_CHANGED', '{"state": "CONFIRMED", "reason": null}', coalesce(confirmed_at, created_at)
    FROM orders LEFT JOIN taken ON taken.id = order_id
    WHERE state IN ('CONFIRMED', 'PAID') OR confirmed_at IS NOT NULL
    UNION ALL
    SELECT order_id, 4, 'STATE_CHANGED', jsonb_build_object('state', state, 'reason', orders.reason),
           coalesce(ended.changed_at, created_at)
    FROM orders LEFT JOIN saga.instance AS ended ON ended.name = 'ORDER' AND ended.id = order_id
    WHERE state NOT IN ('PENDING', 'CONFIRMED')
    UNION ALL
    SELECT order_id, 5, 'DELIVERY_CHANGED', jsonb_build_object('delivery', delivery), coalesce(ended.changed_at, created_at)
    FROM orders LEFT JOIN saga.instance AS ended ON ended.name = 'ORDER' AND ended.id = order_id
    WHERE delivery IS NOT NULL
)
INSERT INTO eventsourcing.event (aggregate, id, version, type, schema, payload, recorded_at)
SELECT 'order', order_id::text, row_number() OVER (PARTITION BY order_id ORDER BY step), type, 1, payload, at
FROM change ORDER BY at, order_id, step;

-- An order's version is the number of its events.
UPDATE orders SET version = (SELECT count(*) FROM eventsourcing.event WHERE aggregate = 'order' AND id = order_id::text);

-- The changes of orders, a moment behind them; `eventsourcing` attaches a partition for each generation.
CREATE TABLE order_history (
    generation  integer     NOT NULL,
    order_id    uuid        NOT NULL,
    -- The order's version after the change.
    version     bigint      NOT NULL CHECK (version > 0),
    change      text        NOT NULL CHECK (change IN ('PLACED', 'CANCEL_REQUESTED', 'STATE_CHANGED', 'DELIVERY_CHANGED')),
    -- After the change.
    state       text        NOT NULL,
    reason      text,
    delivery    text,
    recorded_at timestamptz NOT NULL,
    PRIMARY KEY (generation, order_id, version)
) PARTITION BY LIST (generation);
