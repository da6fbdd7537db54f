-- Parcels of paid orders, each with its end.

CREATE TABLE parcel (
    order_id   uuid        PRIMARY KEY,
    pieces     bigint      NOT NULL CHECK (pieces > 0),
    state      text        NOT NULL CHECK (state IN ('SHIPPED', 'FAILED')),
    reason     text,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT parcel_failed_for_a_reason CHECK ((state = 'FAILED') = (reason IS NOT NULL))
);
