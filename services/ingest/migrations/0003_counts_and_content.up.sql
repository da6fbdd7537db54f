-- What a caller says about an import is kept with it as it happens: nothing is counted again at each look.

-- SHA-256 of the whole file in lower-case hexadecimal digits; null if the caller did not name it.
ALTER TABLE import ADD COLUMN sha256 text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    ADD COLUMN invoices_published bigint NOT NULL DEFAULT 0 CHECK (invoices_published >= 0);
UPDATE import SET invoices_published = published
FROM (SELECT import_id, count(*) AS published FROM invoice GROUP BY import_id) AS counted
WHERE import.import_id = counted.import_id;

-- Beside `import`, whose row an upload locks: settlements do not wait for it.
CREATE TABLE settled_count (
    import_id uuid   PRIMARY KEY REFERENCES import,
    invoices  bigint NOT NULL CHECK (invoices >= 0)
) WITH (fillfactor = 80);
INSERT INTO settled_count
SELECT import_id, count(*) FROM invoice WHERE settled_as IS NOT NULL GROUP BY import_id;

CREATE TABLE rejected_count (
    import_id uuid   NOT NULL REFERENCES import,
    rule      text   NOT NULL,
    rows      bigint NOT NULL CHECK (rows >= 0),
    PRIMARY KEY (import_id, rule)
) WITH (fillfactor = 80);
INSERT INTO rejected_count
SELECT import_id, rule, count(*) FROM rejected_row GROUP BY import_id, rule;

-- By bytes, as the outbox orders keys: pages of returns lock their accounts in the order of every other transaction.
DROP INDEX return_row_in_order;
CREATE INDEX return_row_in_order
    ON return_row (import_id, account_id COLLATE "C", returned_at, invoice_number, row_number);
