ALTER TABLE orders DROP COLUMN delivery;
