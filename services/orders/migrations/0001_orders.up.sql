-- Orders, the sagas that carry them to their end, and returns.

CREATE TABLE orders (
    order_id         uuid        PRIMARY KEY,
    request_id       text        NOT NULL UNIQUE,
    account_id       text        NOT NULL,
    state            text        NOT NULL CHECK (state IN ('PENDING', 'CONFIRMED', 'PAID', 'OUT_OF_STOCK',
                                     'PAYMENT_DECLINED', 'CANCELLED', 'FAILED')),
    reason           text        NOT NULL DEFAULT '',
    -- Local civil time, never converted.
    placed_at        timestamp   NOT NULL,
    currency_code    text        NOT NULL CHECK (currency_code ~ '^[A-Z]{3}$'),
    total_minor      bigint      NOT NULL CHECK (total_minor > 0),
    -- SHA-256 of the content: tells the same order from another one with its request_id.
    fingerprint      bytea       NOT NULL,
    cancel_requested boolean     NOT NULL DEFAULT false,
    -- Goes up with every change, for those who watch.
    version          bigint      NOT NULL DEFAULT 1,
    -- Order of arrival: what lists page by.
    number           bigint      GENERATED ALWAYS AS IDENTITY UNIQUE,
    created_at       timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX orders_by_account ON orders (account_id, number);
CREATE INDEX orders_by_state ON orders (state, number);

CREATE TABLE order_line (
    order_id         uuid    NOT NULL REFERENCES orders,
    line_number      integer NOT NULL CHECK (line_number > 0),
    sku              text    NOT NULL,
    description      text    NOT NULL,
    quantity         bigint  NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint  NOT NULL CHECK (unit_price_minor > 0),
    -- Money and no stock.
    charge           boolean NOT NULL,
    -- Pieces that returns have drawn on: nothing comes back twice.
    returned         bigint  NOT NULL DEFAULT 0 CHECK (returned BETWEEN 0 AND quantity),
    PRIMARY KEY (order_id, line_number)
);

-- The groups of imported rows that wait for the order's end.
CREATE TABLE order_import (
    order_id         uuid   NOT NULL REFERENCES orders,
    import_id        text   NOT NULL,
    first_row_number bigint NOT NULL,
    PRIMARY KEY (order_id, import_id, first_row_number)
);

CREATE TABLE sale_return (
    return_id        uuid        PRIMARY KEY,
    account_id       text        NOT NULL,
    guest            boolean     NOT NULL,
    invoice_number   text        NOT NULL,
    returned_at      timestamp   NOT NULL,
    import_id        text        NOT NULL,
    first_row_number bigint      NOT NULL,
    -- Decided: every line is accepted or has the rule that refused it.
    decided          boolean     NOT NULL DEFAULT false,
    created_at       timestamptz NOT NULL DEFAULT now(),
    UNIQUE (import_id, first_row_number)
);

CREATE INDEX undecided_returns ON sale_return (account_id) WHERE NOT decided;

CREATE TABLE return_line (
    return_id        uuid    NOT NULL REFERENCES sale_return,
    row_number       bigint  NOT NULL,
    sku              text    NOT NULL,
    quantity         bigint  NOT NULL CHECK (quantity > 0),
    unit_price_minor bigint  NOT NULL CHECK (unit_price_minor > 0),
    charge           boolean NOT NULL,
    -- The rule that refused the line; null on an accepted or undecided one.
    refused_by       text,
    PRIMARY KEY (return_id, row_number)
);

CREATE TABLE return_allocation (
    return_id   uuid    NOT NULL,
    row_number  bigint  NOT NULL,
    order_id    uuid    NOT NULL,
    line_number integer NOT NULL,
    quantity    bigint  NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (return_id, row_number, order_id, line_number),
    FOREIGN KEY (return_id, row_number) REFERENCES return_line,
    FOREIGN KEY (order_id, line_number) REFERENCES order_line
);

-- One saga for each order and each return, from its first step to its end.
CREATE TABLE saga (
    saga_id     uuid        PRIMARY KEY,
    kind        text        NOT NULL CHECK (kind IN ('ORDER', 'RETURN')),
    account_id  text        NOT NULL,
    step        text        NOT NULL,
    -- The end that an order's compensation leads to, and why; empty on the way forward.
    outcome     text        NOT NULL DEFAULT '',
    reason      text        NOT NULL DEFAULT '',
    attempts    integer     NOT NULL DEFAULT 0,
    -- When it may be claimed: a claim moves it ahead, which is the claimant's lease.
    due_at      timestamptz NOT NULL DEFAULT now(),
    -- After this an order that is not yet paid for is given up.
    deadline    timestamptz NOT NULL,
    -- Fences a claimant that lost its lease: every claim and every step moves it.
    version     bigint      NOT NULL DEFAULT 1,
    traceparent text        NOT NULL DEFAULT ''
);

CREATE INDEX open_sagas ON saga (due_at) WHERE step <> 'END';
CREATE INDEX waiting_returns ON saga (account_id) WHERE kind = 'RETURN' AND step = 'ALLOCATE';

-- What happened, step by step; append-only.
CREATE TABLE saga_log (
    saga_id uuid        NOT NULL REFERENCES saga,
    version bigint      NOT NULL,
    step    text        NOT NULL,
    answer  text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (saga_id, version)
);
