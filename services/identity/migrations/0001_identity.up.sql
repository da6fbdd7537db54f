-- Clients, API keys, revocations, and the keys that sign tokens. Of secrets only the SHA-256 is here.

CREATE TABLE client (
    client_id   text        PRIMARY KEY,
    roles       text[]      NOT NULL,
    scopes      text[]      NOT NULL,
    tenant      text        NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    disabled_at timestamptz
);

CREATE TABLE client_secret (
    client_id  text        NOT NULL REFERENCES client,
    digest     bytea       NOT NULL CHECK (octet_length(digest) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    PRIMARY KEY (client_id, digest)
);

-- The current secret of a client; those before it expire.
CREATE UNIQUE INDEX client_secret_current ON client_secret (client_id) WHERE expires_at IS NULL;

CREATE TABLE api_key (
    key_id     text        PRIMARY KEY,
    digest     bytea       NOT NULL CHECK (octet_length(digest) = 32),
    subject    text        NOT NULL,
    roles      text[]      NOT NULL,
    scopes     text[]      NOT NULL,
    tenant     text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_key_subject ON api_key (subject) WHERE revoked_at IS NULL;

-- Of one credential, or of the credentials of a subject that were issued before a time.
CREATE TABLE revocation (
    revocation_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    credential_id text        UNIQUE,
    subject       text        UNIQUE,
    issued_before timestamptz,
    expires_at    timestamptz NOT NULL,
    CONSTRAINT revocation_of_one CHECK ((credential_id IS NULL) <> (subject IS NULL)),
    CONSTRAINT revocation_up_to_a_time CHECK ((subject IS NULL) = (issued_before IS NULL))
);

CREATE INDEX revocation_expiry ON revocation (expires_at);

-- Each key signs from its time until the next one does. Two processes that make the same generation
-- keep one.
CREATE TABLE signing_key (
    generation bigint      PRIMARY KEY CHECK (generation > 0),
    pkcs8      bytea       NOT NULL,
    signs_from timestamptz NOT NULL UNIQUE
);
