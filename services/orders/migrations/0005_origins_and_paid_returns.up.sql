-- A request names an order among those of its origin: no caller can take an invoice number of an import.

-- `CALLER` for PlaceOrder, `SOURCE:` and its name for an import; null on an order that an import brought before
-- origins were recorded, which stands for all of them.
ALTER TABLE orders ADD COLUMN origin text CHECK (origin = 'CALLER' OR origin LIKE 'SOURCE:_%');
UPDATE orders SET origin = 'CALLER'
WHERE NOT EXISTS (SELECT FROM order_import WHERE order_import.order_id = orders.order_id);
ALTER TABLE orders DROP CONSTRAINT orders_request_id_key;
CREATE UNIQUE INDEX orders_once_by_origin ON orders (origin, request_id) NULLS NOT DISTINCT;
CREATE INDEX orders_before_origins ON orders (request_id) WHERE origin IS NULL;

-- What was paid back, by what the business calls it: the same line of the same return is paid once, whatever else its
-- row says. Lines that are alike in one import are several, which `nth` counts.
CREATE TABLE paid_return (
    account_id       text    NOT NULL,
    invoice_number   text    NOT NULL,
    sku              text    NOT NULL,
    unit_price_minor bigint  NOT NULL,
    quantity         bigint  NOT NULL,
    nth              bigint  NOT NULL CHECK (nth > 0),
    return_id        uuid    NOT NULL,
    row_number       bigint  NOT NULL,
    CONSTRAINT paid_return_once PRIMARY KEY (account_id, invoice_number, sku, unit_price_minor, quantity, nth),
    UNIQUE (return_id, row_number),
    FOREIGN KEY (return_id, row_number) REFERENCES return_line
);
INSERT INTO paid_return
SELECT account_id, invoice_number, sku, unit_price_minor, quantity,
       row_number() OVER (PARTITION BY account_id, invoice_number, sku, unit_price_minor, quantity
                          ORDER BY created_at, returned_at, import_id, first_row_number, row_number),
       return_id, row_number
FROM return_line JOIN sale_return USING (return_id) WHERE decided AND refused_by IS NULL;
CREATE INDEX sale_return_by_invoice ON sale_return (account_id, invoice_number);
