#!/usr/bin/env python3
"""Writes `orders.csv`: orders of an invented shop that cover every rule of the retail demo.

The same seed gives the same file on every Python. `--check` compares the committed file with the
generated text, and the expected rejections and final states with those that
`integration-tests/reconcile.py` computes.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, Dict, Iterator, List

# A check must not write `__pycache__` into the checkout: this has to precede the local imports.
sys.dont_write_bytecode = True

from scenarios import scenarios
from shop import Invoice, Shop

HERE = Path(__file__).resolve().parent
OUTPUT = HERE / "orders.csv"
RECONCILE = HERE.parent / "integration-tests" / "reconcile.py"

SEED = 20110301
COLUMNS = ["InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"]
REASONS = {
    "MALFORMED",
    "INVOICE_NO",
    "PRICE_SCALE",
    "PRICE_NOT_POSITIVE",
    "QUANTITY_SIGN",
    "NOT_MERCHANDISE",
    "STOCK_CODE",
    "DUPLICATE_ROW",
    "INVOICE_CHANGED",
    "RETURN_WITHOUT_CUSTOMER",
    "RETURN_WITHOUT_ORDER",
    "RETURN_EXCEEDS_ORDER",
}
ENDS = {"PAID", "OUT_OF_STOCK", "PAYMENT_DECLINED"}


def invoices() -> List[Invoice]:
    """Returns all invoices in file order: by time, unless a scenario sets another place."""
    shop = Shop(Random(SEED))
    ordinary = list(shop.ordinary_days())
    return sorted([*ordinary, *scenarios(shop)], key=lambda invoice: invoice.place)


def text(rows: List[Invoice]) -> str:
    """Returns the text of the file."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(line.columns for invoice in rows for line in invoice.lines)
    return stream.getvalue()


def meant(rows: List[Invoice]) -> Dict[str, Any]:
    """Returns the expected books, except for the parts that need arithmetic."""
    lines = [line for invoice in rows for line in invoice.lines]
    rejected = Counter(line.rejected for line in lines if line.rejected)
    accepted_returns = [line for line in lines if line.is_return and not line.rejected]
    return {
        "rows": {"read": len(lines), "accepted": len(lines) - sum(rejected.values()), "rejected": dict(rejected)},
        "orders": dict(Counter(invoice.end for invoice in rows if invoice.end)),
        "returns": {
            "invoices": len({line.columns[0].strip().upper() for line in accepted_returns}),
            "rows": len(accepted_returns),
        },
    }


def problems(rows: List[Invoice]) -> Iterator[str]:
    """Yields the errors of the committed file."""
    if not OUTPUT.exists() or OUTPUT.read_bytes() != text(rows).encode():
        yield f"{OUTPUT.name} differs from the output of {Path(__file__).name}: run it without --check"
        return
    result = subprocess.run([sys.executable, str(RECONCILE), "--json", str(OUTPUT)], stdout=subprocess.PIPE, check=True)
    books = json.loads(result.stdout)
    for part, expected in meant(rows).items():
        if books[part] != expected:
            yield f"{part}: expected {expected}, reconcile.py computes {books[part]}"
    yield from (f"no row is rejected as {reason}" for reason in sorted(REASONS - set(books["rows"]["rejected"])))
    yield from (f"no order ends {end}" for end in sorted(ENDS - set(books["orders"])))
    if books["rows"]["read"] < 3000 or sum(books["orders"].values()) < 200:
        yield "fewer than 3,000 rows or 200 orders"
    if max(len(invoice.lines) for invoice in rows) < 600:
        yield "no invoice of 600 lines"


def main() -> int:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description="Writes examples/orders.csv.")
    parser.add_argument("--check", action="store_true", help="check the committed file without writing")
    arguments = parser.parse_args()
    rows = invoices()
    if not arguments.check:
        OUTPUT.write_bytes(text(rows).encode())
        return 0
    found = list(problems(rows))
    print("\n".join(found) or f"{OUTPUT.name} is up to date: {json.dumps(meant(rows))}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
