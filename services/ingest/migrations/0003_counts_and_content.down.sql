DROP INDEX return_row_in_order;
CREATE INDEX return_row_in_order ON return_row (import_id, account_id, returned_at, invoice_number, row_number);
-- The counts follow from the rows.
DROP TABLE rejected_count;
DROP TABLE settled_count;
ALTER TABLE import DROP COLUMN invoices_published, DROP COLUMN sha256;
