DROP TABLE saga_log;
DROP TABLE saga;
DROP TABLE return_allocation;
DROP TABLE return_line;
DROP TABLE sale_return;
DROP TABLE order_import;
DROP TABLE order_line;
DROP TABLE orders;
