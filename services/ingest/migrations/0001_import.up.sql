-- Imports, what was accepted and refused of them, and what was published.

CREATE TABLE import (
    import_id      uuid        PRIMARY KEY,
    source         text        NOT NULL,
    request_id     text        NOT NULL,
    file_name      text        NOT NULL,
    size_bytes     bigint      NOT NULL CHECK (size_bytes > 0),
    -- The file's column names; null until its first rows are durable.
    header         text[],
    -- All numbers of an import hold for the bytes up to here: a record's end behind which no invoice is open.
    received_bytes bigint      NOT NULL DEFAULT 0 CHECK (received_bytes BETWEEN 0 AND size_bytes),
    rows_read      bigint      NOT NULL DEFAULT 0 CHECK (rows_read >= 0),
    -- The newest invoice that was cut because it is too large; later rows of it are refused.
    closed_invoice text,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source, request_id)
);

CREATE TABLE accepted_row (
    import_id  uuid   NOT NULL REFERENCES import,
    row_number bigint NOT NULL CHECK (row_number > 0),
    source     text   NOT NULL,
    -- SHA-256 over all cleansed columns.
    hash       bytea  NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (import_id, row_number),
    -- The rule that can't be broken by any bug above: no row is accepted twice.
    CONSTRAINT accepted_row_once UNIQUE (source, hash)
);

CREATE TABLE rejected_row (
    import_id   uuid   NOT NULL REFERENCES import,
    row_number  bigint NOT NULL CHECK (row_number > 0),
    -- As the header names it; empty if the whole row is meant.
    column_name text   NOT NULL,
    rule        text   NOT NULL,
    value       text   NOT NULL,
    PRIMARY KEY (import_id, row_number)
);

-- Accepted rows of returns wait here until their file has been read to its end.
CREATE TABLE return_row (
    import_id        uuid      NOT NULL REFERENCES import,
    row_number       bigint    NOT NULL,
    account_id       text      NOT NULL,
    guest            boolean   NOT NULL,
    invoice_number   text      NOT NULL,
    returned_at      timestamp NOT NULL,
    sku              text      NOT NULL,
    description      text      NOT NULL,
    quantity         bigint    NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint    NOT NULL CHECK (unit_price_minor > 0),
    charge           boolean   NOT NULL,
    PRIMARY KEY (import_id, row_number)
);

CREATE INDEX return_row_in_order ON return_row (import_id, account_id, returned_at, invoice_number, row_number);

-- What was published: the group of rows that an InvoiceAccepted or ReturnAccepted names.
CREATE TABLE invoice (
    import_id        uuid   NOT NULL REFERENCES import,
    first_row_number bigint NOT NULL,
    last_row_number  bigint NOT NULL CHECK (last_row_number >= first_row_number),
    invoice_number   text   NOT NULL,
    -- How it ended; null until orders says so.
    settled_as       text,
    PRIMARY KEY (import_id, first_row_number)
);
