-- What the engines do alone for the orders of a run: the same rows under the same constraints, indexes and triggers,
-- written by set-based statements in batches of 128 orders, each batch in the few transactions that the flow needs.
--
-- Sections begin with `-- === NAME`. `stage` sets the rows of a run aside in a service's own database and empties its
-- tables, `facts` divides what all services have, a section per service its own rows. For each batch the caller runs
-- `raw.take`, `raw.write`, publishes the batch's facts to JetStream, and runs `raw.relayed` and `raw.settle`; each is a
-- transaction. `check` fails unless every table has its rows again.

-- === stage
CREATE SCHEMA staged;
CREATE SCHEMA raw;
DO $$
DECLARE
    found  record;
    tables text[];
BEGIN
    FOR found IN SELECT schemaname, tablename FROM pg_tables
                 WHERE schemaname IN ('public', 'events', 'saga') AND tablename NOT LIKE '%sqlx_migrations'
    LOOP
        EXECUTE format('CREATE TABLE staged.%I AS TABLE %I.%I', found.tablename, found.schemaname, found.tablename);
        tables := tables || format('%I.%I', found.schemaname, found.tablename);
    END LOOP;
    -- The ledger refuses to be emptied.
    SET LOCAL session_replication_role = replica;
    EXECUTE 'TRUNCATE ' || array_to_string(tables, ', ');
END $$;

-- === facts
CREATE TABLE staged.fact AS
    SELECT *, ntile(current_setting('raw.batches')::integer) OVER (ORDER BY id) AS batch FROM staged.archive;
CREATE INDEX ON staged.fact (batch);
CREATE TABLE staged.mark AS
    SELECT consumer, key, ntile(current_setting('raw.batches')::integer)
           OVER (PARTITION BY consumer ORDER BY sequence, key) AS batch
    FROM staged.inbox;
CREATE INDEX ON staged.mark (batch);
CREATE INDEX ON staged.inbox (consumer, key);
CREATE TABLE staged.subject AS
    SELECT subject, ntile(current_setting('raw.batches')::integer) OVER (ORDER BY sequence, subject) AS batch
    FROM staged.tail;
CREATE INDEX ON staged.subject (batch);
CREATE INDEX ON staged.tail (subject);

CREATE PROCEDURE raw.publish(batch integer) LANGUAGE SQL AS $$
    INSERT INTO events.chain (context, aggregate, key, version)
    SELECT context, aggregate, key, max(version) FROM staged.fact WHERE batch = $1
    GROUP BY context, aggregate, key ORDER BY key
    ON CONFLICT (context, aggregate, key) DO UPDATE SET version = excluded.version;
    INSERT INTO events.outbox
        (id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id)
    OVERRIDING SYSTEM VALUE
    SELECT id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id
    FROM staged.fact WHERE batch = $1 ORDER BY id;
$$;

CREATE PROCEDURE raw.relayed(batch integer) LANGUAGE SQL AS $$
    WITH done AS (
        DELETE FROM events.outbox WHERE id = ANY (ARRAY(SELECT id FROM staged.fact WHERE batch = $1))
        RETURNING id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id
    )
    INSERT INTO events.archive
        (id, lane, context, aggregate, key, version, type, traceparent, payload, created_at, fact_id)
    SELECT * FROM done;
    INSERT INTO events.tail SELECT tail.* FROM staged.tail JOIN staged.subject USING (subject) WHERE batch = $1
    ON CONFLICT (subject) DO UPDATE SET sequence = excluded.sequence, version = excluded.version;
$$;

CREATE PROCEDURE raw.marks(batch integer, consumer text) LANGUAGE SQL AS $$
    INSERT INTO events.inbox SELECT inbox.* FROM staged.inbox JOIN staged.mark USING (consumer, key)
    WHERE batch = $1 AND consumer = $2 ORDER BY key;
$$;

-- === ingest
INSERT INTO import SELECT * FROM staged.import;
UPDATE import SET received_bytes = 0, rows_read = 0;
CREATE TABLE staged.row_batch AS
    SELECT import_id, row_number, ntile(current_setting('raw.batches')::integer)
           OVER (ORDER BY import_id, row_number) AS batch
    FROM (SELECT import_id, row_number FROM staged.accepted_row
          UNION SELECT import_id, row_number FROM staged.rejected_row) AS seen;
CREATE INDEX ON staged.row_batch (batch);
CREATE INDEX ON staged.accepted_row (import_id, row_number);
CREATE INDEX ON staged.rejected_row (import_id, row_number);
CREATE INDEX ON staged.invoice (import_id, first_row_number);
CREATE TABLE staged.accepted_invoice AS TABLE staged.invoice;
UPDATE staged.accepted_invoice SET settled_as = NULL;
CREATE INDEX ON staged.accepted_invoice (import_id, first_row_number);

CREATE PROCEDURE raw.take(batch integer) LANGUAGE SQL AS '';
CREATE PROCEDURE raw.write(batch integer) LANGUAGE SQL AS $$
    INSERT INTO accepted_row SELECT row.* FROM staged.accepted_row AS row
    JOIN staged.row_batch USING (import_id, row_number) WHERE batch = $1 ORDER BY hash;
    INSERT INTO rejected_row SELECT row.* FROM staged.rejected_row AS row
    JOIN staged.row_batch USING (import_id, row_number) WHERE batch = $1;
    INSERT INTO invoice SELECT group_of_rows.* FROM staged.accepted_invoice AS group_of_rows
    JOIN staged.row_batch ON row_number = first_row_number AND row_batch.import_id = group_of_rows.import_id
    WHERE batch = $1;
    CALL raw.publish($1);
    INSERT INTO rejected_count AS known SELECT import_id, rule, count(*) FROM staged.rejected_row
    JOIN staged.row_batch USING (import_id, row_number) WHERE batch = $1 GROUP BY import_id, rule
    ON CONFLICT (import_id, rule) DO UPDATE SET rows = known.rows + excluded.rows;
    UPDATE import SET received_bytes = read.received_bytes, rows_read = read.rows_read
    FROM staged.import AS read WHERE import.import_id = read.import_id;
$$;
CREATE PROCEDURE raw.settle(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'ingest.orders');
    CALL raw.marks($1, 'ingest.returns');
    UPDATE invoice SET settled_as = ended.settled_as FROM staged.invoice AS ended
    JOIN staged.row_batch ON row_number = ended.first_row_number AND row_batch.import_id = ended.import_id
    WHERE batch = $1 AND invoice.import_id = ended.import_id AND invoice.first_row_number = ended.first_row_number;
    INSERT INTO settled_count AS known SELECT ended.import_id, count(*) FROM staged.invoice AS ended
    JOIN staged.row_batch ON row_number = ended.first_row_number AND row_batch.import_id = ended.import_id
    WHERE batch = $1 AND settled_as IS NOT NULL GROUP BY ended.import_id
    ON CONFLICT (import_id) DO UPDATE SET invoices = known.invoices + excluded.invoices;
$$;

-- === orders
CREATE TABLE staged.order_batch AS
    SELECT order_id, ntile(current_setting('raw.batches')::integer) OVER (ORDER BY number) AS batch FROM staged.orders;
CREATE INDEX ON staged.order_batch (batch);
CREATE INDEX ON staged.order_batch (order_id);
CREATE INDEX ON staged.orders (order_id);
CREATE INDEX ON staged.order_line (order_id);
CREATE INDEX ON staged.order_import (order_id);
-- A return comes after the orders that it draws on.
CREATE TABLE staged.return_batch AS
    SELECT return_id, greatest(
               ntile(current_setting('raw.batches')::integer) OVER (ORDER BY created_at, return_id),
               (SELECT max(batch) FROM staged.return_allocation JOIN staged.order_batch USING (order_id)
                WHERE return_allocation.return_id = sale_return.return_id)) AS batch
    FROM staged.sale_return;
CREATE INDEX ON staged.return_batch (batch);
CREATE INDEX ON staged.sale_return (return_id);
CREATE INDEX ON staged.return_line (return_id);
CREATE INDEX ON staged.return_allocation (return_id);
CREATE INDEX ON staged.paid_return (return_id);
CREATE TABLE staged.saga_batch AS
    SELECT name, id, batch FROM staged.instance
    JOIN (SELECT order_id AS id, batch FROM staged.order_batch
          UNION ALL SELECT return_id, batch FROM staged.return_batch) AS subject USING (id);
CREATE INDEX ON staged.saga_batch (batch);
CREATE INDEX ON staged.instance (id);
CREATE INDEX ON staged.log (id);
CREATE TABLE staged.placed AS TABLE staged.orders;
UPDATE staged.placed SET state = 'PENDING', reason = NULL, delivery = NULL, version = 1;
CREATE INDEX ON staged.placed (order_id);
CREATE TABLE staged.placed_line AS TABLE staged.order_line;
UPDATE staged.placed_line SET returned = 0;
CREATE INDEX ON staged.placed_line (order_id);
CREATE TABLE staged.begun AS TABLE staged.instance;
UPDATE staged.begun SET status = 'OPEN', outcome = NULL, reason = NULL, version = 1;
CREATE INDEX ON staged.begun (id);

CREATE PROCEDURE raw.take(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'orders.accounts');
    INSERT INTO orders OVERRIDING SYSTEM VALUE SELECT placed.* FROM staged.placed
    JOIN staged.order_batch USING (order_id) WHERE batch = $1;
    INSERT INTO order_line SELECT line.* FROM staged.placed_line AS line
    JOIN staged.order_batch USING (order_id) WHERE batch = $1;
    INSERT INTO order_import SELECT waiting.* FROM staged.order_import AS waiting
    JOIN staged.order_batch USING (order_id) WHERE batch = $1;
    INSERT INTO sale_return SELECT ret.* FROM staged.sale_return AS ret
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    INSERT INTO return_line SELECT line.* FROM staged.return_line AS line
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    INSERT INTO saga.instance SELECT begun.* FROM staged.begun
    JOIN staged.saga_batch USING (name, id) WHERE batch = $1;
$$;
CREATE PROCEDURE raw.write(batch integer) LANGUAGE SQL AS $$
    UPDATE orders SET state = ended.state, reason = ended.reason, version = ended.version,
                      delivery = CASE WHEN ended.delivery IS NOT NULL THEN 'PENDING' END
    FROM staged.orders AS ended JOIN staged.order_batch USING (order_id)
    WHERE batch = $1 AND orders.order_id = ended.order_id;
    INSERT INTO saga.log SELECT log.* FROM staged.log
    JOIN staged.saga_batch USING (name, id) WHERE batch = $1;
    UPDATE saga.instance SET step = ended.step, status = ended.status, outcome = ended.outcome, reason = ended.reason,
                             version = ended.version, changed_at = ended.changed_at
    FROM staged.instance AS ended JOIN staged.saga_batch USING (name, id)
    WHERE batch = $1 AND instance.name = ended.name AND instance.id = ended.id;
    INSERT INTO return_allocation SELECT drawn.* FROM staged.return_allocation AS drawn
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    INSERT INTO paid_return SELECT paid.* FROM staged.paid_return AS paid
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    UPDATE order_line SET returned = order_line.returned + drawn.quantity
    FROM (SELECT order_id, line_number, sum(quantity) AS quantity FROM staged.return_allocation
          JOIN staged.return_batch USING (return_id) WHERE batch = $1 GROUP BY order_id, line_number) AS drawn
    WHERE order_line.order_id = drawn.order_id AND order_line.line_number = drawn.line_number;
    CALL raw.publish($1);
$$;
CREATE PROCEDURE raw.settle(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'orders.parcels');
    UPDATE orders SET delivery = ended.delivery, version = ended.version
    FROM staged.orders AS ended JOIN staged.order_batch USING (order_id)
    WHERE batch = $1 AND orders.order_id = ended.order_id AND ended.delivery IS NOT NULL;
$$;

-- === inventory
INSERT INTO stock (sku, on_hand) SELECT sku, sum(quantity) FROM staged.stock_count GROUP BY sku;
INSERT INTO stock_count SELECT * FROM staged.stock_count;
CREATE TABLE staged.reservation_batch AS
    SELECT reservation_id, ntile(current_setting('raw.batches')::integer)
           OVER (ORDER BY created_at, reservation_id) AS batch
    FROM staged.reservation;
CREATE INDEX ON staged.reservation_batch (batch);
CREATE INDEX ON staged.reservation_batch (reservation_id);
CREATE INDEX ON staged.reservation_line (reservation_id);
CREATE TABLE staged.reserved AS TABLE staged.reservation;
UPDATE staged.reserved SET state = 'RESERVED' WHERE state <> 'REFUSED';
CREATE INDEX ON staged.reserved (reservation_id);
CREATE INDEX ON staged.reservation (reservation_id);
CREATE TABLE staged.return_batch AS
    SELECT return_id, ntile(current_setting('raw.batches')::integer) OVER (ORDER BY returned_at, return_id) AS batch
    FROM staged.stock_return;
CREATE INDEX ON staged.return_batch (batch);
CREATE INDEX ON staged.stock_return (return_id);
CREATE INDEX ON staged.stock_return_line (return_id);

CREATE PROCEDURE raw.take(batch integer) LANGUAGE SQL AS $$
    INSERT INTO reservation SELECT reserved.* FROM staged.reserved
    JOIN staged.reservation_batch USING (reservation_id) WHERE batch = $1;
    INSERT INTO reservation_line SELECT line.* FROM staged.reservation_line AS line
    JOIN staged.reservation_batch USING (reservation_id) WHERE batch = $1;
    UPDATE stock SET reserved = stock.reserved + held.quantity
    FROM (SELECT sku, sum(quantity) AS quantity FROM staged.reservation_line JOIN staged.reserved USING (reservation_id)
          JOIN staged.reservation_batch USING (reservation_id) WHERE batch = $1 AND state = 'RESERVED'
          GROUP BY sku) AS held
    WHERE stock.sku = held.sku;
$$;
CREATE PROCEDURE raw.write(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'inventory.parcels');
    UPDATE reservation SET state = ended.state
    FROM staged.reservation AS ended JOIN staged.reservation_batch USING (reservation_id)
    WHERE batch = $1 AND reservation.reservation_id = ended.reservation_id
      AND ended.state IN ('SHIPPED', 'RELEASED');
    UPDATE stock SET reserved = stock.reserved - gone.quantity, on_hand = stock.on_hand - gone.shipped
    FROM (SELECT sku, sum(quantity) AS quantity,
                 coalesce(sum(quantity) FILTER (WHERE state = 'SHIPPED'), 0) AS shipped
          FROM staged.reservation_line JOIN staged.reservation USING (reservation_id)
          JOIN staged.reservation_batch USING (reservation_id)
          WHERE batch = $1 AND state IN ('SHIPPED', 'RELEASED') GROUP BY sku) AS gone
    WHERE stock.sku = gone.sku;
    INSERT INTO stock_return SELECT ret.* FROM staged.stock_return AS ret
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    INSERT INTO stock_return_line SELECT line.* FROM staged.stock_return_line AS line
    JOIN staged.return_batch USING (return_id) WHERE batch = $1;
    UPDATE stock SET on_hand = stock.on_hand + back.quantity
    FROM (SELECT sku, sum(quantity) AS quantity FROM staged.stock_return_line
          JOIN staged.return_batch USING (return_id) WHERE batch = $1 GROUP BY sku) AS back
    WHERE stock.sku = back.sku;
$$;
CREATE PROCEDURE raw.settle(batch integer) LANGUAGE SQL AS '';

-- === payments
-- Authorizations and captures of a batch are two transactions, in the order in which the run recorded them.
-- A transaction that waited for an account began before those that it waited for.
CREATE TABLE staged.event_batch AS
    SELECT account_id, version, payment_id, ntile(2 * current_setting('raw.batches')::integer)
           OVER (ORDER BY recorded_at, account_id, version) AS batch
    FROM (SELECT account_id, version, payment_id,
                 max(recorded_at) OVER (PARTITION BY account_id ORDER BY version) AS recorded_at
          FROM staged.ledger_event) AS event;
CREATE INDEX ON staged.event_batch (batch);
CREATE INDEX ON staged.ledger_event (account_id, version);
CREATE INDEX ON staged.posting (account_id, version);
CREATE INDEX ON staged.account (account_id);
CREATE TABLE staged.opened AS TABLE staged.payment;
UPDATE staged.opened SET state = 'AUTHORIZED', captured_minor = 0, refunded_minor = 0
WHERE state <> 'DECLINED' AND account_id IS NOT NULL;
CREATE INDEX ON staged.opened (payment_id);
INSERT INTO payment SELECT * FROM staged.payment WHERE account_id IS NULL;

CREATE PROCEDURE raw.ledger(batch integer) LANGUAGE SQL AS $$
    INSERT INTO account SELECT account.* FROM staged.account
    WHERE account_id IN (SELECT account_id FROM staged.event_batch WHERE batch = $1)
    ORDER BY account_id ON CONFLICT DO NOTHING;
    INSERT INTO payment SELECT opened.* FROM staged.opened JOIN staged.event_batch USING (payment_id)
    JOIN staged.ledger_event AS event
        ON event.account_id = event_batch.account_id AND event.version = event_batch.version
    WHERE batch = $1 AND type IN ('AUTHORIZED', 'DECLINED');
    UPDATE payment SET
        state = coalesce(told.state, payment.state),
        captured_minor = payment.captured_minor + told.captured,
        refunded_minor = payment.refunded_minor + told.refunded
    FROM (SELECT event.payment_id, max(type) FILTER (WHERE type IN ('CAPTURED', 'VOIDED')) AS state,
                 coalesce(sum(amount_minor) FILTER (WHERE type = 'CAPTURED'), 0) AS captured,
                 coalesce(sum(amount_minor) FILTER (WHERE type = 'REFUNDED'), 0) AS refunded
          FROM staged.ledger_event AS event JOIN staged.event_batch USING (account_id, version)
          WHERE batch = $1 AND type IN ('CAPTURED', 'VOIDED', 'REFUNDED') GROUP BY event.payment_id) AS told
    WHERE payment.payment_id = told.payment_id;
    INSERT INTO ledger_event (account_id, version, type, payment_id, refund_id, decline_reason, amount_minor,
                              currency_code, effective_at, recorded_at)
    SELECT event.account_id, event.version, type, event.payment_id, refund_id, decline_reason, amount_minor,
           currency_code, effective_at, recorded_at
    FROM staged.ledger_event AS event JOIN staged.event_batch USING (account_id, version)
    WHERE batch = $1 ORDER BY account_id, version;
    INSERT INTO posting SELECT posting.* FROM staged.posting
    JOIN staged.event_batch USING (account_id, version) WHERE batch = $1;
$$;
CREATE PROCEDURE raw.take(batch integer) LANGUAGE SQL AS 'CALL raw.ledger(2 * $1 - 1)';
CREATE PROCEDURE raw.write(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'payments.parcels');
    CALL raw.ledger(2 * $1);
$$;
CREATE PROCEDURE raw.settle(batch integer) LANGUAGE SQL AS '';

-- === shipping
CREATE TABLE staged.parcel_batch AS
    SELECT order_id, ntile(current_setting('raw.batches')::integer) OVER (ORDER BY created_at, order_id) AS batch
    FROM staged.parcel;
CREATE INDEX ON staged.parcel_batch (batch);
CREATE INDEX ON staged.parcel (order_id);

CREATE PROCEDURE raw.take(batch integer) LANGUAGE SQL AS '';
CREATE PROCEDURE raw.write(batch integer) LANGUAGE SQL AS $$
    CALL raw.marks($1, 'shipping.orders');
    INSERT INTO parcel SELECT parcel.* FROM staged.parcel
    JOIN staged.parcel_batch USING (order_id) WHERE batch = $1;
    CALL raw.publish($1);
$$;
CREATE PROCEDURE raw.settle(batch integer) LANGUAGE SQL AS '';

-- === statistics
-- Of what was set aside only: the planner takes an analyzed empty table for one that stays empty.
DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT tablename FROM pg_tables WHERE schemaname = 'staged' LOOP
        EXECUTE format('ANALYZE staged.%I', found.tablename);
    END LOOP;
END $$;

-- === check
DO $$
DECLARE
    found   record;
    written bigint;
    run     bigint;
BEGIN
    -- The bookkeeping of live relays and consumers is no row of an order.
    FOR found IN SELECT schemaname, tablename FROM pg_tables
                 WHERE schemaname IN ('public', 'events', 'saga') AND tablename NOT LIKE '%sqlx_migrations'
                   AND tablename NOT IN ('outbox', 'lease', 'coverage', 'expiry', 'stopped', 'parked', 'return_row')
                   AND NOT (schemaname = 'events' AND tablename = 'chain')
                   -- Follows the events of orders, which the engines alone have no use for.
                   AND tablename NOT LIKE 'order\_history%'
    LOOP
        EXECUTE format('SELECT count(*) FROM %I.%I', found.schemaname, found.tablename) INTO written;
        EXECUTE format('SELECT count(*) FROM staged.%I', found.tablename) INTO run;
        IF written <> run THEN
            RAISE EXCEPTION '%.% has % rows, the run wrote %', found.schemaname, found.tablename, written, run;
        END IF;
    END LOOP;
END $$;
