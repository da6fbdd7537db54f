-- The version of each aggregate's newest fact. Its row lock serialises the writers of one aggregate, so that for
-- one aggregate version order, outbox id order and commit order are the same.
CREATE TABLE events.chain (
    context   text   NOT NULL,
    aggregate text   NOT NULL,
    key       text   NOT NULL,
    version   bigint NOT NULL CHECK (version > 0),
    PRIMARY KEY (context, aggregate, key)
) WITH (fillfactor = 80);

-- Facts that are committed and not yet acknowledged by the stream. The subject and the message id are functions
-- of (context, aggregate, key, version), so they are not stored.
CREATE TABLE events.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lane        smallint    NOT NULL CHECK (lane BETWEEN 0 AND 63),
    context     text        NOT NULL,
    aggregate   text        NOT NULL,
    key         text        NOT NULL,
    version     bigint      NOT NULL,
    type        text        NOT NULL,
    traceparent text,
    payload     bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (context, aggregate, key, version)
-- Every row is soon deleted: vacuum by number of dead rows, or the relay's scan walks over ever more of them.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000);

-- The last message that the stream acknowledged for each subject: what the next publish must expect.
CREATE TABLE events.tail (
    subject  text   PRIMARY KEY,
    sequence bigint NOT NULL,
    version  bigint NOT NULL
) WITH (fillfactor = 80);

-- How far each consumer has come with each key; sequence is where in the stream that version was.
CREATE TABLE events.inbox (
    consumer text    NOT NULL,
    key      text    NOT NULL,
    version  bigint  NOT NULL,
    sequence bigint  NOT NULL,
    parked   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (consumer, key)
) WITH (fillfactor = 80);

-- Facts set aside, per consumer and key in version order: the one that failed, then those that wait behind it.
CREATE TABLE events.parked (
    consumer    text        NOT NULL,
    key         text        NOT NULL,
    version     bigint      NOT NULL,
    context     text        NOT NULL,
    aggregate   text        NOT NULL,
    sequence    bigint      NOT NULL,
    type        text        NOT NULL,
    traceparent text,
    payload     bytea       NOT NULL,
    reason      text,
    attempts    integer     NOT NULL,
    parked_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, key, version),
    FOREIGN KEY (consumer, key) REFERENCES events.inbox (consumer, key)
);
