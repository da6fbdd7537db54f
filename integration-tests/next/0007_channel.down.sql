DROP TRIGGER orders_fill_channel ON orders;
DROP FUNCTION fill_channel;
ALTER TABLE orders DROP COLUMN channel;
