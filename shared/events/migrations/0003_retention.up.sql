-- The first sequence of a consumer's stream from time to time: keys whose last fact left the stream long ago are
-- forgotten.
CREATE TABLE events.expiry (
    consumer       text        NOT NULL,
    noted_at       timestamptz NOT NULL DEFAULT now(),
    first_sequence bigint      NOT NULL,
    PRIMARY KEY (consumer, noted_at)
);
