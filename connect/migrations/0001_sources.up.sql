-- One row per source that was ever configured. The process whose `owner` and `epoch` these are reads it, until
-- `owned_until` by the database's clock; each of its commits checks that it still is the owner.
CREATE TABLE source (
    name               text        PRIMARY KEY,
    state              text        NOT NULL DEFAULT 'RUNNING' CHECK (state IN ('RUNNING', 'PAUSED', 'STOPPED')),
    -- Why it has stopped by itself; empty otherwise.
    reason             text        NOT NULL DEFAULT '',
    changed_at         timestamptz NOT NULL DEFAULT now(),
    owner              uuid,
    epoch              bigint      NOT NULL DEFAULT 0,
    owned_until        timestamptz NOT NULL DEFAULT '-infinity',
    records            bigint      NOT NULL DEFAULT 0,
    accepted           bigint      NOT NULL DEFAULT 0,
    quarantined        bigint      NOT NULL DEFAULT 0,
    -- Records in quarantine now.
    held               bigint      NOT NULL DEFAULT 0 CHECK (held >= 0),
    -- The window in which the ratio of errors is counted.
    window_records     bigint      NOT NULL DEFAULT 0,
    window_quarantined bigint      NOT NULL DEFAULT 0,
    last_record_at     timestamptz
);

-- The position of a source in each unit that it has begun.
CREATE TABLE unit (
    source      text        NOT NULL REFERENCES source (name),
    -- Identity: of a file, the SHA-256 of its bytes.
    unit        text        NOT NULL,
    name        text        NOT NULL,
    size_bytes  bigint      NOT NULL,
    state       text        NOT NULL DEFAULT 'READING' CHECK (state IN ('READING', 'DONE', 'FAILED')),
    -- Number of the last record whose outcome is durable.
    position    bigint      NOT NULL DEFAULT 0,
    accepted    bigint      NOT NULL DEFAULT 0,
    quarantined bigint      NOT NULL DEFAULT 0,
    -- Digest of the mapping of the latest batch.
    mapping     text        NOT NULL,
    refusal     text        NOT NULL DEFAULT '',
    begun_at    timestamptz NOT NULL DEFAULT now(),
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, unit),
    CHECK (position = accepted + quarantined)
);

CREATE INDEX unit_latest ON unit (source, changed_at DESC);

-- Records that could not be decoded, mapped or accepted. A resolved one keeps no bytes.
CREATE TABLE quarantine (
    source      text        NOT NULL REFERENCES source (name),
    unit        text        NOT NULL,
    number      bigint      NOT NULL,
    place       text        NOT NULL,
    "column"    text        NOT NULL,
    rule        text        NOT NULL,
    value       text        NOT NULL,
    mapping     text        NOT NULL,
    -- Bytes in the unit, bounded.
    raw         bytea,
    -- The decoded record as JSON; null if it can't be decoded or is too large.
    record      text,
    held_at     timestamptz NOT NULL DEFAULT now(),
    replays     integer     NOT NULL DEFAULT 0,
    -- Null while it is in quarantine.
    resolution  text        CHECK (resolution IN ('REPLAYED', 'DISCARDED')),
    resolved_at timestamptz,
    reason      text        NOT NULL DEFAULT '',
    PRIMARY KEY (source, unit, number),
    CHECK ((resolution IS NULL) = (resolved_at IS NULL))
);

CREATE INDEX quarantine_held ON quarantine (source, unit, number) WHERE resolution IS NULL;
CREATE INDEX quarantine_resolved ON quarantine (resolved_at) WHERE resolution IS NOT NULL;

-- Files and deliveries that were sent to the process and are not read yet, with their bytes.
CREATE TABLE spool (
    source         text        NOT NULL REFERENCES source (name),
    unit           text        NOT NULL,
    name           text        NOT NULL,
    size_bytes     bigint      NOT NULL,
    received_bytes bigint      NOT NULL DEFAULT 0 CHECK (received_bytes BETWEEN 0 AND size_bytes),
    -- Whether all bytes are there and checked.
    is_complete    boolean     NOT NULL DEFAULT false,
    begun_at       timestamptz NOT NULL DEFAULT now(),
    changed_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, unit)
);

CREATE INDEX spool_ready ON spool (source, changed_at) WHERE is_complete;

CREATE TABLE spool_chunk (
    source   text   NOT NULL,
    unit     text   NOT NULL,
    position bigint NOT NULL,
    bytes    bytea  NOT NULL,
    PRIMARY KEY (source, unit, position),
    FOREIGN KEY (source, unit) REFERENCES spool (source, unit) ON DELETE CASCADE
);

-- Bytes of spooled files are read once, in order: compressing them costs more than it saves.
ALTER TABLE spool_chunk ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- The contracts of the targets as they were learned last: one that is away at the start stops no source.
CREATE TABLE contract (
    target         text        PRIMARY KEY,
    descriptor_set bytea       NOT NULL,
    learned_at     timestamptz NOT NULL DEFAULT now()
);
