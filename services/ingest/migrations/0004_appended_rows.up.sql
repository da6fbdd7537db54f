-- Rows that a client appends without a file: such an import has no bytes, and ends when its client says so.
ALTER TABLE import ALTER COLUMN size_bytes DROP NOT NULL,
    ADD COLUMN is_ended     boolean NOT NULL DEFAULT false,
    -- Row numbers below `rows_read` that no row had.
    ADD COLUMN rows_missing bigint  NOT NULL DEFAULT 0 CHECK (rows_missing >= 0),
    -- The rows of the open invoice, as they came: they are decided again with the rows that follow.
    ADD COLUMN open_rows    bytea;
