DROP TABLE stock_return_line;
DROP TABLE stock_return;
DROP TABLE reservation_line;
DROP TABLE reservation;
DROP TABLE stock_count;
DROP TABLE stock;
