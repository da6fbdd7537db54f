"""Invoices that cover one rule each, with the expected outcome of each row and order."""

from __future__ import annotations

from datetime import datetime
from typing import Iterator, List, Optional, Sequence, Tuple

from shop import OUT_OF_STOCK_SKU, Invoice, Line, Product, Shop, row

MUG = Product("80001", "MUG, LARGE", 250)
JUG = Product("80002A", "JUG", 1000)
BOWL = Product("80003BL", "BOWL", 425)
CHAIR = Product("80004", "GARDEN CHAIR", 10000)
POST = Product("POST", "POSTAGE", 1800)
DOT = Product("DOT", "POSTAGE OF A WEB ORDER", 0)
CARRIAGE = Product("C2", "CARRIAGE", 5000)
MANUAL = Product("M", "Manual", 0)
KETTLE = Product(OUT_OF_STOCK_SKU, "COPPER KETTLE, WHISTLING", 995)

PAID, OUT_OF_STOCK, PAYMENT_DECLINED, NONE = "PAID", "OUT_OF_STOCK", "PAYMENT_DECLINED", ""

# Product, quantity, price as text (None: the catalogue's), and expected reason of rejection.
Item = Tuple[Product, int, Optional[str], str]


def scenarios(shop: Shop) -> Iterator[Invoice]:
    """Yields the invoices of all scenarios."""
    yield from ends_of_orders(shop)
    yield from bad_rows(shop)
    yield from bad_invoice_numbers()
    yield from odd_texts(shop)
    yield from times(shop)
    yield from repeated_invoices(shop)
    yield from single_returns(shop)
    yield from refused_returns(shop)
    yield from ordered_returns(shop)
    yield large_order(shop)


def at(day: int, clock: str) -> datetime:
    """Returns a time in March 2011."""
    return datetime.strptime(f"2011-03-{day:02} {clock}", "%Y-%m-%d %H:%M")


def item(product: Product, quantity: int, price: Optional[str] = None, rejected: str = "") -> Item:
    """Returns an item of an invoice."""
    return (product, quantity, price, rejected)


def invoice(number: str, time: datetime, customer: str, items: Sequence[Item], end: str = NONE) -> Invoice:
    """Returns an invoice whose rows share time and customer."""
    lines = [Line(row(number, what, count, time, customer, price=price), why) for what, count, price, why in items]
    return Invoice(time, lines, end)


# === Orders ===


def ends_of_orders(shop: Shop) -> Iterator[Invoice]:
    """Yields orders at, above and below the limit, with and without stock."""
    exactly, repeated = item(CHAIR, 100), item(CHAIR, 60)
    yield invoice(shop.number(), at(1, "09:05"), "30001", [exactly], PAID)
    yield invoice(shop.number(), at(1, "09:10"), "30002", [exactly, item(POST, 1, "0.01")], PAYMENT_DECLINED)
    yield invoice(shop.number(), at(2, "09:10"), "", [exactly, item(MUG, 400)], PAYMENT_DECLINED)
    yield invoice(shop.number(), at(2, "10:10"), "30003", [item(CHAIR, 500), item(KETTLE, 1)], OUT_OF_STOCK)
    yield invoice(shop.number(), at(2, "11:10"), "", [item(KETTLE, 2), item(POST, 1)], OUT_OF_STOCK)
    # It would exceed the limit only with its rejected rows.
    within = [repeated, item(CHAIR, 60, rejected="DUPLICATE_ROW"), item(CHAIR, 90, "100.001", "PRICE_SCALE")]
    yield invoice(shop.number(), at(3, "09:20"), "30004", within, PAID)
    # Only a rejected row has the SKU that is out of stock.
    yield invoice(shop.number(), at(3, "09:25"), "30004", [item(MUG, 6), item(KETTLE, 1, "0", "PRICE_NOT_POSITIVE")], PAID)
    charges = [item(POST, 2), item(DOT, 1, "41.17"), item(CARRIAGE, 1), item(MANUAL, 3, "0.35")]
    yield invoice(shop.number(), at(3, "09:30"), "", charges, PAID)
    yield invoice(shop.number(), at(3, "09:40"), "30005", [item(MUG, 1, "0.00", "PRICE_NOT_POSITIVE")])


def large_order(shop: Shop) -> Invoice:
    """Returns an order of 600 lines, some SKUs twice."""
    goods = shop.merchandise()
    items = [item(product, 1 + index % 3) for index, product in enumerate(goods)]
    items += [item(product, 7) for product in goods[: 600 - len(items)]]
    return invoice(shop.number(), at(4, "12:00"), "30006.0", items, PAID)


def times(shop: Shop) -> Iterator[Invoice]:
    """Yields orders whose rows differ in time: the earliest accepted row decides."""
    number = shop.number()
    early = Line(row(number, MUG, 6, at(5, "09:29"), "30010"))
    late = Line(row(number, JUG, 6, at(5, "09:30"), "30010"))
    yield Invoice(at(5, "09:29"), [late, early], PAID)
    number = shop.number()
    yield Invoice(
        at(5, "23:58"),
        [
            Line(row(number, MUG, 6, at(6, "00:02"), "30010")),
            Line(row(number, JUG, 6, at(5, "23:58"), "30010")),
            Line(row(number, BOWL, 6, at(4, "23:58"), "30010", price="0.0"), "PRICE_NOT_POSITIVE"),
        ],
        PAID,
    )


def repeated_invoices(shop: Shop) -> Iterator[Invoice]:
    """Yields repeated invoices: equal, with more or other rows, after one without an order."""
    same, more, other, late, dry = (shop.number() for _ in range(5))
    first = [item(MUG, 12), item(JUG, 2)]
    again = [item(MUG, 12, rejected="DUPLICATE_ROW"), item(JUG, 2, rejected="DUPLICATE_ROW")]
    yield invoice(same, at(6, "09:00"), "30020", first, PAID)
    yield invoice(more, at(6, "09:01"), "30020", first, PAID)
    yield invoice(other, at(6, "09:02"), "", [item(MUG, 12)], PAID)
    yield invoice(late, at(6, "09:03"), "30020", [item(MUG, 1, "-2.50", "PRICE_NOT_POSITIVE")])
    yield invoice(dry, at(6, "09:04"), "30020", [item(KETTLE, 1)], OUT_OF_STOCK)
    yield moved(at(6, "15:00"), invoice(same, at(6, "09:00"), "30020.0", again))
    yield moved(at(6, "15:01"), invoice(more, at(6, "09:01"), "30020", [*again, item(BOWL, 3, rejected="INVOICE_CHANGED")]))
    changed = [item(MUG, 13, rejected="INVOICE_CHANGED"), item(KETTLE, 1, rejected="INVOICE_CHANGED")]
    yield invoice(other, at(7, "09:02"), "", changed)
    yield invoice(late, at(7, "09:03"), "30020", [item(MUG, 1)], PAID)
    yield invoice(dry, at(7, "09:04"), "30020", [item(MUG, 1, rejected="INVOICE_CHANGED")])


def moved(place: datetime, what: Invoice) -> Invoice:
    """Returns an invoice that is placed in the file against the order of time."""
    what.place = place
    return what


# === Rows ===


def bad_rows(shop: Shop) -> Iterator[Invoice]:
    """Yields invoices that mix valid rows with every kind of invalid row."""
    for day, (rejected, changes) in enumerate(BAD_COLUMNS, start=1):
        number, time = shop.number(), at(day, "10:30")
        lines = [Line(row(number, BOWL, 2, time, "30030"))]
        for index, change in enumerate(changes, start=3):
            columns = row(number, MUG, index, time, "30030")
            for column, value in change.items():
                columns[column] = value
            lines.append(Line(columns, rejected))
        yield Invoice(time, [*lines, Line(row(number, JUG, 2, time, "30030"))], PAID)
    number, time = shop.number(), at(8, "10:30")
    columns = row(number, MUG, 5, time, "30030")
    short, long = Line(columns[:7], "MALFORMED"), Line([*columns, "now"], "MALFORMED")
    alone, last = Line([number], "MALFORMED"), Line(row(number, JUG, 1, time, "30030"))
    yield Invoice(time, [Line(columns), short, alone, long, last], PAID)
    number = shop.number()
    yield Invoice(time, [Line(row(number, MUG, 4, time, "30030", price=price)) for price in ("2.550", "3", "3.5")], PAID)
    yield invoice(f"C{shop.number()}", time, "30030", [item(MUG, 2, rejected="QUANTITY_SIGN")])
    discount = Product("D", "Discount", 500)
    yield invoice(f"C{shop.number()}", time, "30030", [item(discount, -1, rejected="NOT_MERCHANDISE")])


SKU, QUANTITY, DATE, PRICE = 1, 3, 4, 5
BAD_COLUMNS: List[Tuple[str, List[dict]]] = [
    ("MALFORMED", [{QUANTITY: value} for value in ("six", "", "1.5", "1 000")]),
    ("MALFORMED", [{PRICE: value} for value in ("free", "", "2,50", "£2.50", "1.2.3")]),
    ("MALFORMED", [{DATE: value} for value in ("2011-02-29 10:00:00", "03/03/2011 10:30", "", "2011-03-03 25:00:00")]),
    ("PRICE_SCALE", [{PRICE: value} for value in ("0.001", "2.555", "-0.001")]),
    ("PRICE_NOT_POSITIVE", [{PRICE: "0"}, {PRICE: "-2.50"}, {PRICE: "0.000", QUANTITY: "-4"}]),
    ("NOT_MERCHANDISE", [{SKU: sku} for sku in ("AMAZONFEE", "bank  charges", "B", "CRUK", " d ", "S")]),
    ("STOCK_CODE", [{SKU: sku} for sku in ("GIFT_20", "8000", "80001ABC", "80 001", "DCGS12", "")]),
    ("QUANTITY_SIGN", [{QUANTITY: "0"}, {QUANTITY: "-3"}, {QUANTITY: "-3", SKU: "D"}]),
]


def bad_invoice_numbers() -> Iterator[Invoice]:
    """Yields invoices with an invalid number."""
    for minute, number in enumerate(("A700001", "70001", "7000123", "C70001", "CC700001", "")):
        yield invoice(number, at(8, f"11:{minute:02}"), "30031", [item(MUG, 2, rejected="INVOICE_NO")])


def odd_texts(shop: Shop) -> Iterator[Invoice]:
    """Yields an order of texts difficult to parse, and rows equal only after cleansing."""
    number, time = shop.number(), at(9, "10:00")
    texts = [
        'TRAY 12" "ROUND"',
        "CUPS, SAUCERS, AND SPOONS",
        "TWO\nLINES",
        "\n\n",
        "SMÖRGÅS BOARD – CRÈME BRÛLÉE",
        "抹茶 BOWL 🍵",
        "",
        "=1+1",
        "IT'S; A\tTAB",
    ]
    lines = [Line(row(number, Product(MUG.sku, text, 250), 10 + i, time, "")) for i, text in enumerate(texts)]
    lines.append(Line(row(number, Product(" 80002a", " JUG ", 1000), 3, time, "")))
    lines.append(Line(row(f" {number} ", Product("80002A", "JUG", 1000), 3, time, " "), "DUPLICATE_ROW"))
    lines.append(Line(row(number, Product("80002A", "TWO\nWORDS", 1000), 3, time, "", price="10")))
    lines.append(Line(row(number, Product("80002A", "TWO  WORDS", 1000), 3, time, "", price="10.000"), "DUPLICATE_ROW"))
    lines.append(Line(row(number, Product("80002A", "Two words", 1000), 3, time, "")))
    yield Invoice(time, lines, PAID)


# === Returns ===


def single_returns(shop: Shop) -> Iterator[Invoice]:
    """Yields accepted returns: partial, of a charge, simultaneous, split, before the order."""
    yield invoice(shop.number(), at(2, "14:00"), "30040.0", [item(MUG, 10), item(POST, 2), item(JUG, 3)], PAID)
    yield invoice(f"C{shop.number()}", at(2, "14:00"), "30040", [item(JUG, -1)])
    yield invoice(f"C{shop.number()}", at(2, "16:00"), "30040.0", [item(MUG, -4), item(POST, -1)])
    yield invoice(shop.number(), at(3, "14:00"), "30040", [item(MUG, 5)], PAID)
    # 11 pieces are left, 5 of them of the newer order.
    yield invoice(f"c{shop.number()}", at(4, "14:00"), "30040", [item(MUG, -8)])
    # Its order is of the day before, but further down in the file; its own day has no other rows.
    early = invoice(f"C{shop.number()}", at(11, "09:00"), "30041", [item(BOWL, -2)])
    yield moved(at(1, "08:00"), early)
    yield invoice(shop.number(), at(10, "09:00"), "30041", [item(BOWL, 6)], PAID)


def refused_returns(shop: Shop) -> Iterator[Invoice]:
    """Yields rejected returns: not bought, not paid, not yet or by another customer."""
    refused = "RETURN_WITHOUT_ORDER"
    yield invoice(shop.number(), at(5, "14:00"), "30050", [item(MUG, 10), item(JUG, 2, "9.99")], PAID)
    yield invoice(shop.number(), at(5, "14:05"), "30051", [item(KETTLE, 2), item(BOWL, 2)], OUT_OF_STOCK)
    yield invoice(shop.number(), at(5, "14:10"), "30052", [item(CHAIR, 101)], PAYMENT_DECLINED)
    yield invoice(shop.number(), at(5, "14:15"), "", [item(MUG, 10)], PAID)
    day_before = invoice(f"C{shop.number()}", at(4, "14:00"), "30050", [item(MUG, -1, rejected=refused)])
    yield moved(at(6, "14:00"), day_before)
    mixed = [item(JUG, -1, rejected=refused), item(JUG, -1, "9.99"), item(BOWL, -1, rejected=refused)]
    yield invoice(f"C{shop.number()}", at(6, "14:10"), "30050", mixed)
    yield invoice(f"C{shop.number()}", at(6, "14:20"), "30051", [item(BOWL, -1, rejected=refused)])
    yield invoice(f"C{shop.number()}", at(6, "14:30"), "30052", [item(CHAIR, -1, rejected=refused)])
    yield invoice(f"C{shop.number()}", at(6, "14:40"), "30053", [item(MUG, -1, rejected=refused)])
    never_sold = Product("89999", "MUSIC BOX", 1500)
    yield invoice(f"C{shop.number()}", at(6, "14:50"), "30050", [item(never_sold, -1, rejected=refused)])
    guest = [item(MUG, -1, rejected="RETURN_WITHOUT_CUSTOMER"), item(MUG, -2, rejected="RETURN_WITHOUT_CUSTOMER")]
    yield invoice(f"C{shop.number()}", at(6, "15:10"), "", guest)


def ordered_returns(shop: Shop) -> Iterator[Invoice]:
    """Yields returns whose outcome depends on their order: time, number, row."""
    too_much = "RETURN_EXCEEDS_ORDER"
    yield invoice(shop.number(), at(7, "14:00"), "30060", [item(MUG, 10), item(JUG, 10), item(BOWL, 5)], PAID)
    first, second = f"C{shop.number()}", f"C{shop.number()}"
    # 10 pieces: the 5 of the 8th take precedence over the 8 of the 9th.
    yield moved(at(8, "14:00"), invoice(f"C{shop.number()}", at(9, "14:00"), "30060", [item(MUG, -8, rejected=too_much)]))
    yield moved(at(8, "14:01"), invoice(f"C{shop.number()}", at(8, "13:00"), "30060", [item(MUG, -5)]))
    # 10 pieces, at the same time: the lower number takes precedence.
    yield moved(at(8, "15:00"), invoice(second, at(8, "15:00"), "30060", [item(JUG, -9, rejected=too_much)]))
    yield moved(at(8, "15:01"), invoice(first, at(8, "15:00"), "30060", [item(JUG, -2)]))
    # 5 pieces: a row that exceeds them takes none; the next two rows take all.
    rows = [item(BOWL, -6, rejected=too_much), item(BOWL, -3), item(BOWL, -2), item(BOWL, -1, rejected=too_much)]
    yield invoice(f"C{shop.number()}", at(8, "16:00"), "30060", rows)
