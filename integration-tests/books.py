"""The books of the retail demo, computed from CSV records by the rules of the retailer, in the order of the rules.

It shares no code with the mesh, on purpose: two programs written apart agree only where both follow the rules.
Amounts are whole pence, exact throughout.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, Union
from typing import Counter as Count

COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
NOT_MERCHANDISE = {"AMAZONFEE", "BANK CHARGES", "B", "CRUK", "D", "S"}
CHARGES = {"POST", "DOT", "C2", "M"}

# `[0-9]`, not `\d`: the rules mean ASCII digits, `\d` takes those of every script.
INVOICE_NO = re.compile(r"C?[0-9]{6}")
STOCK_CODE = re.compile(r"[0-9]{5}[A-Z]{0,2}|DCGS[0-9]{4}")
# At most 12 digits: a longer number is no quantity or price, and Python refuses to convert very long ones.
WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
DECIMAL = re.compile(r"(?P<sign>[+-]?)(?P<pounds>[0-9]{1,12})(\.(?P<fraction>[0-9]+))?")
DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")
FLOATED_ID = re.compile(r"([0-9]+)\.0+")

# What an order of the mesh holds: a signed 64-bit number of pence.
TOTAL_MAX_MINOR = 2**63 - 1

PAID, OUT_OF_STOCK, PAYMENT_DECLINED = "PAID", "OUT_OF_STOCK", "PAYMENT_DECLINED"


class BooksError(Exception):
    """Input from which no books can be computed."""


@dataclass(frozen=True)
class Policy:
    """The retailer's settings that decide how an order ends."""

    opening_stock: int = 1_000_000
    out_of_stock: FrozenSet[str] = frozenset({"21843"})
    limit_minor: int = 1_000_000

    def stock_of(self, sku: str) -> int:
        """Returns the pieces counted in for a SKU before any order."""
        return 0 if sku in self.out_of_stock else self.opening_stock


@dataclass(frozen=True)
class Row:
    """One cleansed invoice line; `position` is (file, 1-based record), the header not counted."""

    invoice: str
    sku: str
    description: str
    quantity: int
    time: datetime
    price_minor: int
    customer: str
    country: str
    position: Tuple[int, int] = field(compare=False)

    @property
    def is_return(self) -> bool:
        """Tells whether the row stands on a cancellation invoice."""
        return self.invoice.startswith("C")

    @property
    def units(self) -> int:
        """Returns the pieces of stock that the row moves: none for a charge."""
        return 0 if self.sku in CHARGES else abs(self.quantity)

    @property
    def amount_minor(self) -> int:
        """Returns what the row is worth, without its sign."""
        return self.price_minor * abs(self.quantity)


@dataclass
class Order:
    """The accepted rows of one invoice and how the order ended."""

    rows: List[Row]
    end: str = ""

    @property
    def time(self) -> datetime:
        """Returns the time of the earliest row."""
        return min(row.time for row in self.rows)

    @property
    def total_minor(self) -> int:
        """Returns the sum of all rows, charges included."""
        return sum(row.amount_minor for row in self.rows)

    def demand(self) -> Count[str]:
        """Returns the pieces wanted of each SKU, charges left out."""
        wanted: Count[str] = Counter()
        for row in self.rows:
            wanted[row.sku] += row.units
        return +wanted


# === Files ===


def read_records(path: Path) -> Iterator[List[str]]:
    """Yields the data records of a CSV file (RFC 4180) after checking its header."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
        records = (record for record in csv.reader(stream) if record)
        header = [column.strip() for column in next(records, [])]
        if header != COLUMNS:
            raise BooksError(f"{path}: the header is {header}, not {COLUMNS}")
        yield from records


# === Rules 1 and 2: cleanse and reject a row ===


def cleanse_or_reject(record: Sequence[str], position: Tuple[int, int]) -> Union[Row, str]:
    """Returns the cleansed row, or the reason of the first rule that it breaks (DUPLICATE_ROW is not seen here)."""
    if len(record) != len(COLUMNS) or not all(is_text(value) for value in record):
        return "MALFORMED"
    invoice, sku, description, quantity, date, price, customer, country = (" ".join(v.split()) for v in record)
    time = parse_time(date)
    if time is None or not WHOLE.fullmatch(quantity) or not DECIMAL.fullmatch(price):
        return "MALFORMED"
    pence, is_whole = to_pence(price)
    floated = FLOATED_ID.fullmatch(customer)
    row = Row(
        invoice=invoice.upper(),
        sku=sku.upper(),
        description=description,
        quantity=int(quantity),
        time=time,
        price_minor=pence,
        customer=floated.group(1) if floated else customer,
        country=country,
        position=position,
    )
    return broken_rule(row, is_whole) or row


def broken_rule(row: Row, price_is_whole_pence: bool) -> Optional[str]:
    """Returns the reason of the first rule that a well-formed row breaks."""
    if not INVOICE_NO.fullmatch(row.invoice):
        return "INVOICE_NO"
    if not price_is_whole_pence:
        return "PRICE_SCALE"
    if row.price_minor <= 0:
        return "PRICE_NOT_POSITIVE"
    if row.quantity == 0 or (row.quantity < 0) != row.is_return:
        return "QUANTITY_SIGN"
    if row.sku in NOT_MERCHANDISE:
        return "NOT_MERCHANDISE"
    if row.sku not in CHARGES and not STOCK_CODE.fullmatch(row.sku):
        return "STOCK_CODE"
    return None


def to_pence(price: str) -> Tuple[int, bool]:
    """Returns the whole pence of a decimal in pounds and whether that is all of it; in integers, so nothing is rounded."""
    match = DECIMAL.fullmatch(price)
    assert match is not None, price
    fraction = (match["fraction"] or "").ljust(2, "0")
    pence = int(match["pounds"] + fraction[:2])
    return (-pence if match["sign"] == "-" else pence), not fraction[2:].strip("0")


def parse_time(text: str) -> Optional[datetime]:
    """Returns the local time that a text of the form `2010-12-01 08:26:00` names, or None."""
    if not DATE_TIME.fullmatch(text):
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def is_text(value: str) -> bool:
    """Tells whether a field was valid UTF-8: invalid bytes were read as surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in value)


# === Rule 4: group rows into orders and returns ===


@dataclass
class Intake:
    """What is left of the files once every row is read: orders, return rows, and the rejected by reason."""

    read: int = 0
    rejected: Count[str] = field(default_factory=Counter)
    orders: Dict[str, Order] = field(default_factory=dict)
    returns: List[Row] = field(default_factory=list)

    def take(self, files: Iterable[Iterable[Sequence[str]]]) -> "Intake":
        """Reads the files in order, as one source; the rows of an invoice stand together within a file."""
        seen: Set[Row] = set()
        for index, records in enumerate(files):
            group: List[Row] = []
            for number, record in enumerate(records, start=1):
                row = self.accept(record, (index, number), seen)
                if row is None:
                    continue
                if group and group[0].invoice != row.invoice:
                    self.close(group)
                    group = []
                group.append(row)
            self.close(group)
        return self

    def accept(self, record: Sequence[str], position: Tuple[int, int], seen: Set[Row]) -> Optional[Row]:
        """Returns the row if it survives rules 1 and 2, and counts its reason otherwise."""
        self.read += 1
        outcome = cleanse_or_reject(record, position)
        if not isinstance(outcome, str) and outcome in seen:
            outcome = "DUPLICATE_ROW"
        if isinstance(outcome, str):
            self.rejected[outcome] += 1
            return None
        seen.add(outcome)
        return outcome

    def close(self, group: List[Row]) -> None:
        """Files the rows of one invoice: a second group that survived DUPLICATE_ROW has other content.

        A group that is too much for an order makes none, so a later one of its invoice can still make one.
        """
        if not group:
            return
        invoice = group[0].invoice
        if group[0].is_return:
            self.returns.extend(group)
        elif Order(group).total_minor > TOTAL_MAX_MINOR:
            self.rejected["TOTAL_OVERFLOW"] += len(group)
        elif invoice in self.orders:
            self.rejected["INVOICE_CHANGED"] += len(group)
        else:
            self.orders[invoice] = Order(group)


# === Rule 6: the end of every order ===


def settle(orders: Iterable[Order], policy: Policy) -> None:
    """Gives every order its end, which must not depend on the order of processing."""
    reservable: Count[str] = Counter()
    for order in orders:
        demand = order.demand()
        if any(pieces > policy.stock_of(sku) for sku, pieces in demand.items()):
            order.end = OUT_OF_STOCK
            continue
        reservable.update(demand)
        order.end = PAYMENT_DECLINED if order.total_minor > policy.limit_minor else PAID
    short = sorted(sku for sku, pieces in reservable.items() if pieces > policy.stock_of(sku))
    if short:
        raise BooksError(f"opening stock is too small for all orders of {', '.join(short[:5])}: the books are not defined")


# === Rule 7: returns ===


@dataclass
class Line:
    """A row of a PAID order and how many of its pieces can still come back."""

    time: datetime
    row: Row
    remaining: int

    @property
    def age_key(self) -> Tuple[datetime, str, Tuple[int, int]]:
        """Orders lines from old to new; invoice number and position decide between orders of one time."""
        return (self.time, self.row.invoice, self.row.position)


def decide_returns(returns: Iterable[Row], orders: Iterable[Order], rejected: Count[str]) -> List[Row]:
    """Returns the accepted return rows and counts the reasons of the others."""
    paid: Dict[Tuple[str, str, int], List[Line]] = defaultdict(list)
    for order in orders:
        if order.end == PAID:
            for row in order.rows:
                paid[row.customer, row.sku, row.price_minor].append(Line(order.time, row, row.quantity))
    accepted = []
    alike: Count[Tuple[Any, ...]] = Counter()
    repaid: Set[Tuple[Any, ...]] = set()
    for row in sorted(returns, key=lambda r: (r.time, r.invoice, r.position)):
        lines = paid.get((row.customer, row.sku, row.price_minor), [])
        # The business's name of the row: rows that are alike in one file are several, in another they are the same.
        name = (row.customer, row.invoice, row.sku, row.price_minor, row.quantity)
        alike[(row.position[0], *name)] += 1
        name = (*name, alike[(row.position[0], *name)])
        reason = draw(row, [line for line in lines if line.time <= row.time], name in repaid)
        if reason:
            rejected[reason] += 1
        else:
            accepted.append(row)
            repaid.add(name)
    return accepted


def draw(row: Row, lines: List[Line], repeated: bool) -> Optional[str]:
    """Takes a return's pieces from the newest lines first, or takes none and returns the reason."""
    wanted = abs(row.quantity)
    if not row.customer:
        return "RETURN_WITHOUT_CUSTOMER"
    if repeated:
        return "RETURN_REPEATED"
    if not lines:
        return "RETURN_WITHOUT_ORDER"
    if sum(line.remaining for line in lines) < wanted:
        return "RETURN_EXCEEDS_ORDER"
    for line in sorted(lines, key=lambda candidate: candidate.age_key, reverse=True):
        taken = min(wanted, line.remaining)
        line.remaining -= taken
        wanted -= taken
    return None


# === The books ===


def compute(files: Iterable[Iterable[Sequence[str]]], policy: Policy) -> Dict[str, Any]:
    """Returns the books of the files in the shape of `mesh demo --json`."""
    intake = Intake().take(files)
    orders = list(intake.orders.values())
    settle(orders, policy)
    returned = decide_returns(intake.returns, orders, intake.rejected)
    return {
        "rows": {
            "read": intake.read,
            "accepted": intake.read - sum(intake.rejected.values()),
            "rejected": dict(sorted(intake.rejected.items())),
        },
        "orders": dict(sorted(Counter(order.end for order in orders).items())),
        "returns": {"invoices": len({row.invoice for row in returned}), "rows": len(returned)},
        "money": money(orders, returned),
        "stock": stock(orders, returned, policy),
    }


def money(orders: Sequence[Order], returned: Sequence[Row]) -> Dict[str, Any]:
    """Returns captured money by the order's day and refunded money by the return's."""
    captured: Count[str] = Counter()
    refunded: Count[str] = Counter()
    for order in orders:
        if order.end == PAID:
            captured[order.time.date().isoformat()] += order.total_minor
    for row in returned:
        refunded[row.time.date().isoformat()] += row.amount_minor
    return {
        "currency": "GBP",
        "captured_minor": sum(captured.values()),
        "refunded_minor": sum(refunded.values()),
        # Every posting of a double-entry ledger has its counterpart, so the sum over all accounts is 0 by definition.
        "ledger_sum_minor": 0,
        "days": [
            {"date": day, "captured_minor": captured[day], "refunded_minor": refunded[day]}
            for day in sorted(set(captured) | set(refunded))
        ],
    }


def stock(orders: Sequence[Order], returned: Sequence[Row], policy: Policy) -> Dict[str, int]:
    """Returns pieces counted in, shipped, returned and left; nothing stays reserved once all orders are at an end."""
    # An accepted return names a SKU of an order, so the orders alone name all merchandise of accepted rows.
    skus = {row.sku for order in orders for row in order.rows if row.sku not in CHARGES}
    counted = sum(policy.stock_of(sku) for sku in skus)
    shipped = sum(row.units for order in orders if order.end == PAID for row in order.rows)
    back = sum(row.units for row in returned)
    return {"counted": counted, "shipped": shipped, "returned": back, "reserved": 0, "on_hand": counted - shipped + back}
