-- A change of the tables is a new file, 0002_….up.sql, with its rollback in 0002_….down.sql; this one stays as it is once
-- it has run anywhere.
CREATE TABLE item (
    item_id text PRIMARY KEY,
    title text NOT NULL CHECK (title <> ''),
    quantity bigint NOT NULL CHECK (quantity > 0)
);

-- One row, moved by the events of items.
CREATE TABLE totals (
    items bigint NOT NULL,
    pieces bigint NOT NULL
);
INSERT INTO totals VALUES (0, 0);
