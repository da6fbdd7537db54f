-- Events of aggregates, snapshots of their states, and the generations of projections.

CREATE TABLE eventsourcing.event (
    -- Before `sequence`: defaults are evaluated in the order of the columns, and a transaction must have
    -- its id before it has a sequence. Readers wait for the transactions below an id.
    transaction_id xid8        NOT NULL DEFAULT pg_current_xact_id(),
    -- Order of recording over all aggregates. Rolled-back transactions leave gaps, and a lower sequence may
    -- commit after a higher one.
    sequence       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- The kind of the aggregate, and its id.
    aggregate      text        NOT NULL,
    id             text        NOT NULL,
    -- Counts the aggregate's events from 1, without gaps.
    version        bigint      NOT NULL CHECK (version > 0),
    type           text        NOT NULL,
    -- Version of the payload's form.
    schema         integer     NOT NULL CHECK (schema > 0),
    payload        jsonb       NOT NULL,
    recorded_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT event_version_once UNIQUE (aggregate, id, version)
);

CREATE FUNCTION eventsourcing.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% of % is refused: what is recorded stays', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER event_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON eventsourcing.event
    FOR EACH STATEMENT EXECUTE FUNCTION eventsourcing.refuse_change();

-- At most one for each aggregate: the next replaces it.
CREATE TABLE eventsourcing.snapshot (
    aggregate     text    NOT NULL,
    id            text    NOT NULL,
    -- The state after this event.
    version       bigint  NOT NULL CHECK (version > 0),
    -- Version of the state's form: a snapshot of another one is not read.
    state_version integer NOT NULL,
    state         jsonb   NOT NULL,
    PRIMARY KEY (aggregate, id)
);

-- A generation of a projection is built from the first event; the table's partition `<name>_v<generation>` holds it.
CREATE TABLE eventsourcing.projection (
    name       text        NOT NULL CHECK (name ~ '^[a-z][a-z_]{0,47}$'),
    generation integer     NOT NULL CHECK (generation > 0),
    -- Version of the code that writes it.
    version    integer     NOT NULL,
    -- LIVE is the one that is read.
    status     text        NOT NULL CHECK (status IN ('BUILDING', 'LIVE', 'RETIRED')),
    -- All events up to this sequence are applied.
    position   bigint      NOT NULL DEFAULT 0,
    applied    bigint      NOT NULL DEFAULT 0,
    -- Why it stands still; null while it goes on.
    problem    text,
    begun_at   timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (name, generation)
);

CREATE UNIQUE INDEX projection_live_once ON eventsourcing.projection (name) WHERE status = 'LIVE';
CREATE UNIQUE INDEX projection_building_once ON eventsourcing.projection (name) WHERE status = 'BUILDING';
