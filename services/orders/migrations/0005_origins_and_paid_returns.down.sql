DROP INDEX sale_return_by_invoice;
DROP TABLE paid_return;
DROP INDEX orders_before_origins;
DROP INDEX orders_once_by_origin;
ALTER TABLE orders DROP COLUMN origin;
-- Fails if a caller and an import have orders with one request_id, which the older form can't tell apart.
ALTER TABLE orders ADD CONSTRAINT orders_request_id_key UNIQUE (request_id);
