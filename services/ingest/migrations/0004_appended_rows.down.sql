-- Fails while there are imports of appended rows: the older form can't hold them.
ALTER TABLE import ALTER COLUMN size_bytes SET NOT NULL,
    DROP COLUMN open_rows,
    DROP COLUMN rows_missing,
    DROP COLUMN is_ended;
