-- A paid order's delivery; null on one that is not paid or has no goods.
ALTER TABLE orders ADD COLUMN delivery text CHECK (delivery IN ('PENDING', 'SHIPPED', 'FAILED')),
    ADD CONSTRAINT orders_delivered_if_paid CHECK (delivery IS NULL OR state = 'PAID');

-- Until now an order was shipped before it was paid.
UPDATE orders SET delivery = 'SHIPPED'
WHERE state = 'PAID' AND EXISTS (SELECT FROM order_line WHERE order_line.order_id = orders.order_id AND NOT charge);
