#!/usr/bin/env python3
"""Computes the books of the retail demo from the CSV files alone and compares them with the mesh's.

Exit status: 0 the books agree, 1 they differ, 2 they can't be computed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, TextIO

# A check must leave no `__pycache__` behind in the checkout, so this comes before the imports from beside this file.
sys.dont_write_bytecode = True

from books import BooksError, Policy, compute, read_records
from reconcile_cases import CASES

# === Compare ===


def differences(path: str, expected: Any, actual: Any) -> Iterator[str]:
    """Yields one line per JSON path whose values differ; a missing one shows as `nothing`."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(set(expected) | set(actual)):
            yield from differences(f"{path}.{key}", expected.get(key, ABSENT), actual.get(key, ABSENT))
    elif isinstance(expected, list) and isinstance(actual, list):
        left, right = keyed(expected), keyed(actual)
        for key in sorted(set(left) | set(right)):
            yield from differences(f"{path}[{key}]", left.get(key, ABSENT), right.get(key, ABSENT))
        if left.keys() == right.keys() and list(left) != list(right):
            yield f"{path}: files give the order {', '.join(left)}, mesh gives {', '.join(right)}"
    # `True == 1 == 1.0` in Python, but they are three different JSON values.
    elif type(expected) is not type(actual) or expected != actual:
        yield f"{path}: files give {show(expected)}, mesh gives {show(actual)}"


ABSENT = object()


def keyed(items: List[Any]) -> Dict[str, Any]:
    """Returns a list by its items' dates, so that one missing day doesn't shift all later ones; else by index."""
    dates = [item.get("date") for item in items if isinstance(item, dict)]
    if len(set(map(str, dates))) == len(items) and all(isinstance(date, str) for date in dates):
        return dict(zip(dates, items))
    return {f"{index:04}": item for index, item in enumerate(items)}


def show(value: Any) -> str:
    """Returns a JSON value as one line."""
    return "nothing" if value is ABSENT else json.dumps(value, sort_keys=True)


def summary(books: Dict[str, Any]) -> str:
    """Returns the books in one line."""
    rows, cash, pieces = books["rows"], books["money"], books["stock"]
    return (
        f"{rows['read']} rows, {rows['accepted']} accepted, {sum(books['orders'].values())} orders, "
        f"{books['returns']['rows']} returns, captured {pounds(cash['captured_minor'])}, "
        f"refunded {pounds(cash['refunded_minor'])}, {pieces['shipped']} pieces shipped, {pieces['returned']} returned"
    )


def pounds(minor: int) -> str:
    """Returns an amount of pence in pounds."""
    return f"£{minor // 100:,}.{minor % 100:02}"


# === Self-test ===


def self_test_failures() -> Iterator[str]:
    """Yields a line per part of a case's books, and per comparison, that isn't what was computed by hand."""
    for case in CASES:
        files = [csv.reader(io.StringIO(text, newline="")) for text in case.files()]
        books = compute(files, Policy(**case.settings))
        for path, expected in case.expected.items():
            for line in differences(f"$.{path}", expected, part(books, path)):
                yield f"{case.name}: {line.replace('files give', 'by hand').replace('mesh gives', 'computed')}"
    yield from comparison_failures()


def comparison_failures() -> Iterator[str]:
    """Yields a line per wrong difference of two small objects, and if undefined books were computed all the same."""
    expected = {"a": 1, "b": [{"date": "d1", "n": 1}, {"date": "d2", "n": 2}], "c": 0, "e": [1, 2]}
    actual = {"a": 1.0, "b": [{"date": "d2", "n": 3}], "c": 0, "d": "0", "e": [1, 2, 3]}
    found = [line.split(":")[0] for line in differences("$", expected, actual)]
    if found != ["$.a", "$.b[d1]", "$.b[d2].n", "$.d", "$.e[0002]"]:
        yield f"comparison: found {found}"
    short = ["100001", "10001", "MUG", "3", "2011-03-01 10:00:00", "1.00", "1", "UK"]
    try:
        compute([[short, ["100002", *short[1:]]]], Policy(opening_stock=5))
        yield "comparison: books that depend on the order of processing were computed"
    except BooksError:
        pass


def part(books: Any, path: str) -> Any:
    """Returns the value at a dotted path, or the books themselves for an empty one."""
    for key in filter(None, path.split(".")):
        books = books[key]
    return books


# === Command line ===


def read_result(name: str, stdin: TextIO) -> Any:
    """Returns the mesh's JSON from a file, or from standard input for `-`."""
    return json.load(stdin) if name == "-" else json.loads(Path(name).read_text(encoding="utf-8"))


def parser() -> argparse.ArgumentParser:
    """Returns the command line's definition."""
    default = Policy()
    result = argparse.ArgumentParser(description="Computes the books of the retail demo from CSV files alone.")
    result.add_argument("files", nargs="*", type=Path, metavar="FILE", help="order files, in order, one source")
    result.add_argument("--opening-stock", type=int, default=default.opening_stock, help="pieces of each SKU")
    result.add_argument("--out-of-stock", default=",".join(default.out_of_stock), help="SKUs without stock, by comma")
    result.add_argument("--limit-minor", type=int, default=default.limit_minor, help="authorisation limit, in pence")
    result.add_argument("--against", metavar="RESULT.json", help="output of `mesh demo --json`, `-` for standard input")
    result.add_argument("--json", action="store_true", help="one line of JSON instead of an indented object")
    result.add_argument("--self-test", action="store_true", help="check this program against cases computed by hand")
    return result


def main() -> int:
    """Runs the command line."""
    arguments = parser().parse_args()
    if arguments.self_test:
        failed = list(self_test_failures())
        print("\n".join(failed) or "self-test passed")
        return 1 if failed else 0
    if not arguments.files:
        parser().error("name at least one FILE")
    skus = frozenset(sku.strip().upper() for sku in arguments.out_of_stock.split(",") if sku.strip())
    policy = Policy(arguments.opening_stock, skus, arguments.limit_minor)
    try:
        books = compute([read_records(path) for path in arguments.files], policy)
        result = read_result(arguments.against, sys.stdin) if arguments.against else None
    except (BooksError, OSError, csv.Error, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.against is None:
        print(json.dumps(books, indent=None if arguments.json else 2))
        return 0
    found = list(differences("$", books, result))
    print("\n".join(found) or f"books agree: {summary(books)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
