-- Stock, what was counted in, what is held for orders and what came back.

CREATE TABLE stock (
    -- By bytes, as the service sorts them: rows are locked in this order, and two that disagree about it could wait
    -- for each other. Every other collation depends on how the database was set up.
    sku      text   COLLATE "C" PRIMARY KEY,
    on_hand  bigint NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    reserved bigint NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    -- The rule that can't be broken by any bug above: nothing is sold twice.
    CONSTRAINT stock_never_oversold CHECK (reserved <= on_hand)
);

CREATE TABLE stock_count (
    request_id text        PRIMARY KEY,
    sku        text        COLLATE "C" NOT NULL REFERENCES stock,
    quantity   bigint      NOT NULL CHECK (quantity >= 0),
    counted_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reservation (
    reservation_id text        PRIMARY KEY,
    state          text        NOT NULL CHECK (state IN ('RESERVED', 'REFUSED', 'RELEASED', 'SHIPPED')),
    created_at     timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE reservation_line (
    reservation_id text   NOT NULL REFERENCES reservation,
    sku            text   COLLATE "C" NOT NULL,
    quantity       bigint NOT NULL CHECK (quantity > 0),
    -- What was free when the line fell short; null on a line that could be met.
    available      bigint CHECK (available >= 0),
    PRIMARY KEY (reservation_id, sku)
);

CREATE TABLE stock_return (
    return_id   text        PRIMARY KEY,
    returned_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE stock_return_line (
    return_id text   NOT NULL REFERENCES stock_return,
    sku       text   COLLATE "C" NOT NULL REFERENCES stock,
    quantity  bigint NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (return_id, sku)
);
