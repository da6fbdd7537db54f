-- Each fact has an identity of its own: after a restore to an earlier time, another fact may take the same version.
ALTER TABLE events.outbox ADD COLUMN fact_id uuid NOT NULL DEFAULT gen_random_uuid();

-- Facts that the stream has acknowledged, kept for a time: a stream that lost them is rebuilt from here.
CREATE TABLE events.archive (
    id          bigint      PRIMARY KEY,
    lane        smallint    NOT NULL,
    context     text        NOT NULL,
    aggregate   text        NOT NULL,
    key         text        NOT NULL,
    version     bigint      NOT NULL,
    type        text        NOT NULL,
    traceparent text,
    payload     bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    fact_id     uuid        NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT now()
);

-- Written once, in the order of time: the block range index is small and finds what is old.
CREATE INDEX archive_by_time ON events.archive USING brin (archived_at);

-- The one relay that may publish. An owner that stops renewing loses the lease; each owner has a higher epoch.
CREATE TABLE events.lease (
    name       text        PRIMARY KEY,
    owner      uuid        NOT NULL,
    epoch      bigint      NOT NULL,
    expires_at timestamptz NOT NULL
);

-- Keys whose facts are not published, because the stream disagrees with the outbox or refuses a fact. An operator sets
-- `resolution`, and the relay carries it out.
CREATE TABLE events.stopped (
    context    text        NOT NULL,
    aggregate  text        NOT NULL,
    key        text        NOT NULL,
    version    bigint      NOT NULL,
    cause      text        NOT NULL CHECK (cause IN ('forked', 'foreign', 'refused')),
    reason     text        NOT NULL,
    stopped_at timestamptz NOT NULL DEFAULT now(),
    resolution text CHECK (resolution IN ('retry', 'renumber', 'discard')),
    PRIMARY KEY (context, aggregate, key)
);

-- How much of a stream a consumer has seen: what left the stream before that is lost to it. One row per consumer.
CREATE TABLE events.coverage (
    consumer       text        PRIMARY KEY,
    stream_created timestamptz NOT NULL,
    -- The first sequence of the stream when the consumer joined.
    joined_at      bigint      NOT NULL,
    -- Everything up to here is settled.
    settled        bigint      NOT NULL,
    -- The last range that left the stream unseen, if there was one.
    lost_from      bigint,
    lost_to        bigint,
    lost_at        timestamptz
);

-- A key whose only fact was discarded begins again with version 1.
ALTER TABLE events.chain DROP CONSTRAINT chain_version_check, ADD CHECK (version >= 0);
