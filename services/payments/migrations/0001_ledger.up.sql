-- The customers' ledger: events that are never changed, their postings, and the payments that follow from them.

-- Its row lock serialises the writers of one account's history.
CREATE TABLE account (
    account_id text        PRIMARY KEY,
    opened_at  timestamptz NOT NULL DEFAULT now()
);

-- The projection of each payment's events, written with them.
CREATE TABLE payment (
    payment_id     text      PRIMARY KEY,
    -- These four are null on an id that was voided before it was authorized: it has no event either.
    account_id     text      REFERENCES account,
    currency_code  text,
    amount_minor   bigint    CHECK (amount_minor > 0),
    -- Local civil time of the authorization, never converted.
    effective_at   timestamp,
    state          text      NOT NULL CHECK (state IN ('AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED')),
    decline_reason text      NOT NULL DEFAULT '',
    captured_minor bigint    NOT NULL DEFAULT 0,
    refunded_minor bigint    NOT NULL DEFAULT 0,
    CONSTRAINT payment_whole_or_closed CHECK (
        num_nulls(account_id, currency_code, amount_minor, effective_at) = 0
        OR state = 'VOIDED' AND num_nonnulls(account_id, currency_code, amount_minor, effective_at) = 0
    ),
    CONSTRAINT payment_captured_whole CHECK (
        captured_minor = CASE state WHEN 'CAPTURED' THEN amount_minor ELSE 0 END
    ),
    CONSTRAINT payment_refunded_within_captured CHECK (refunded_minor BETWEEN 0 AND captured_minor),
    CONSTRAINT payment_decline_has_reason CHECK ((state = 'DECLINED') = (decline_reason <> '')),
    UNIQUE (payment_id, account_id, currency_code)
);

CREATE INDEX payment_by_account ON payment (account_id);

CREATE TABLE ledger_event (
    account_id     text        NOT NULL REFERENCES account,
    version        bigint      NOT NULL CHECK (version > 0),
    -- With the foreign key below it leaves no gap before a version.
    previous       bigint      GENERATED ALWAYS AS (nullif(version - 1, 0)) STORED,
    type           text        NOT NULL CHECK (type IN ('AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED', 'REFUNDED')),
    payment_id     text        NOT NULL,
    refund_id      text,
    decline_reason text,
    amount_minor   bigint      NOT NULL CHECK (amount_minor > 0),
    currency_code  text        NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    -- Local civil time of the business fact, never converted.
    effective_at   timestamp   NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account_id, version),
    CONSTRAINT ledger_event_no_gap FOREIGN KEY (account_id, previous) REFERENCES ledger_event,
    CONSTRAINT ledger_event_of_its_payment FOREIGN KEY (payment_id, account_id, currency_code)
        REFERENCES payment (payment_id, account_id, currency_code),
    CONSTRAINT ledger_event_refund_once UNIQUE (refund_id),
    CONSTRAINT ledger_event_refund_named CHECK ((type = 'REFUNDED') = (refund_id IS NOT NULL)),
    CONSTRAINT ledger_event_decline_has_reason CHECK ((type = 'DECLINED') = (decline_reason IS NOT NULL))
);

-- A payment is answered once, and what was held is taken or given up, once.
CREATE UNIQUE INDEX ledger_event_answered_once ON ledger_event (payment_id) WHERE type IN ('AUTHORIZED', 'DECLINED');
CREATE UNIQUE INDEX ledger_event_settled_once ON ledger_event (payment_id) WHERE type IN ('CAPTURED', 'VOIDED');
CREATE INDEX ledger_event_by_payment ON ledger_event (payment_id);

-- Debits are positive, credits are negative. The currency is the event's.
CREATE TABLE posting (
    account_id     text   NOT NULL,
    version        bigint NOT NULL,
    ledger_account text   NOT NULL CHECK (ledger_account IN ('HOLDS', 'AUTHORIZATIONS', 'CASH', 'REVENUE', 'REFUNDS')),
    amount_minor   bigint NOT NULL,
    PRIMARY KEY (account_id, version, ledger_account),
    FOREIGN KEY (account_id, version) REFERENCES ledger_event
);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is recorded stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER ledger_event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_event
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER posting_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON posting
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
-- A payment in another state has events, which keep it from being deleted.
CREATE TRIGGER payment_end_is_final BEFORE UPDATE OR DELETE ON payment
    FOR EACH ROW WHEN (OLD.state IN ('DECLINED', 'VOIDED')) EXECUTE FUNCTION refuse_change();

-- The postings of an event sum to zero, are as many as its type asks for, and all of the event's amount.
CREATE FUNCTION check_postings() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    event  ledger_event;
    posted record;
BEGIN
    SELECT * INTO event FROM ledger_event WHERE account_id = NEW.account_id AND version = NEW.version;
    SELECT count(*) AS number, coalesce(sum(amount_minor), 0) AS total,
           count(*) FILTER (WHERE abs(amount_minor) <> event.amount_minor) AS strange
      INTO posted FROM posting WHERE account_id = NEW.account_id AND version = NEW.version;
    IF posted.total <> 0 OR posted.strange > 0
       OR posted.number <> (CASE event.type WHEN 'DECLINED' THEN 0 WHEN 'CAPTURED' THEN 4 ELSE 2 END) THEN
        RAISE EXCEPTION 'postings of event % of account % do not balance', NEW.version, NEW.account_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'posting_balanced';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_event_balanced AFTER INSERT ON ledger_event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_postings();
CREATE CONSTRAINT TRIGGER posting_balanced AFTER INSERT ON posting
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_postings();

-- A payment is what its events say. So the constraints of the one bind the other: nothing is captured that was not
-- authorized, and no more is refunded than was captured.
CREATE FUNCTION check_payment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    held payment;
    told record;
BEGIN
    SELECT * INTO held FROM payment WHERE payment_id = NEW.payment_id;
    SELECT coalesce(max(type) FILTER (WHERE type IN ('CAPTURED', 'VOIDED')),
                    max(type) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')), 'VOIDED') AS state,
           max(amount_minor) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')) AS amount_minor,
           max(effective_at) FILTER (WHERE type IN ('AUTHORIZED', 'DECLINED')) AS effective_at,
           coalesce(max(decline_reason), '') AS decline_reason,
           coalesce(sum(amount_minor) FILTER (WHERE type = 'CAPTURED'), 0) AS captured_minor,
           coalesce(sum(amount_minor) FILTER (WHERE type = 'REFUNDED'), 0) AS refunded_minor,
           coalesce(max(amount_minor) FILTER (WHERE type = 'VOIDED'), held.amount_minor) AS voided_minor
      INTO told FROM ledger_event WHERE payment_id = NEW.payment_id;
    IF (held.state, held.amount_minor, held.effective_at, held.decline_reason,
        held.captured_minor, held.refunded_minor, held.amount_minor)
       IS DISTINCT FROM
       (told.state, told.amount_minor, told.effective_at, told.decline_reason,
        told.captured_minor, told.refunded_minor, told.voided_minor) THEN
        RAISE EXCEPTION 'payment % is not what its events say', NEW.payment_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_told_by_events';
    END IF;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER ledger_event_told_payment AFTER INSERT ON ledger_event
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_payment();
CREATE CONSTRAINT TRIGGER payment_told_by_events AFTER INSERT OR UPDATE ON payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_payment();
