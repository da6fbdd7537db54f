"""The cases of `reconcile.py --self-test`: order lines, and the parts of their books as computed by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, List


@dataclass(frozen=True)
class Case:
    """Rows of one or more files (`---` between them, no header), settings, and expected books by path."""

    name: str
    text: str
    expected: Dict[str, Any]
    settings: Dict[str, Any] = field(default_factory=dict)

    def files(self) -> List[str]:
        """Returns each file's text."""
        return [part.lstrip("\n") for part in self.text.split("---\n")]


CASES = [
    Case(
        "the whole object, of one order with a charge and its partial return",
        """
100001,10001A,MUG,6,2011-03-01 10:00:00,2.55,17850.0,United Kingdom
100001,POST,POSTAGE,1,2011-03-01 10:00:00,18,17850.0,United Kingdom
C100002,10001A,MUG,-2,2011-03-02 09:00:00,2.55,17850,United Kingdom
""",
        {
            "": {
                "rows": {"read": 3, "accepted": 3, "rejected": {}},
                "orders": {"PAID": 1},
                "returns": {"invoices": 1, "rows": 1},
                "money": {
                    "currency": "GBP",
                    "captured_minor": 3330,
                    "refunded_minor": 510,
                    "ledger_sum_minor": 0,
                    "days": [
                        {"date": "2011-03-01", "captured_minor": 3330, "refunded_minor": 0},
                        {"date": "2011-03-02", "captured_minor": 0, "refunded_minor": 510},
                    ],
                },
                "stock": {"counted": 1000000, "shipped": 6, "returned": 2, "reserved": 0, "on_hand": 999996},
            }
        },
    ),
    Case(
        "MALFORMED: columns, numbers and dates, before any other rule",
        """
100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1
100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK,
100001,10001,MUG,six,2011-03-01 10:00:00,1.00,1,UK
100001,10001,MUG,1.5,2011-03-01 10:00:00,1.00,1,UK
100001,10001,MUG,,2011-03-01 10:00:00,1.00,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,free,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,"1,50",1,UK
100001,10001,MUG,1,2011-02-29 10:00:00,1.00,1,UK
100001,10001,MUG,1,01/03/2011 10:00,1.00,1,UK
bad number,10001,MUG,x,2011-03-01 10:00:00,1.00,1,UK
""",
        {"rows": {"read": 10, "accepted": 0, "rejected": {"MALFORMED": 10}}, "orders": {}, "stock.counted": 0},
    ),
    Case(
        "the first broken rule of a row gives its reason",
        """
10001,10001,MUG,1,2011-03-01 10:00:00,0.001,1,UK
A100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,0.001,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,-1.005,1,UK
100001,10001,MUG,-1,2011-03-01 10:00:00,0.00,1,UK
100001,10001,MUG,-1,2011-03-01 10:00:00,-2.00,1,UK
100001,10001,MUG,0,2011-03-01 10:00:00,1.00,1,UK
C100001,D,DISCOUNT,1,2011-03-01 10:00:00,1.00,1,UK
100001,amazonfee,FEE,1,2011-03-01 10:00:00,1.00,1,UK
100001,Bank  Charges,FEE,1,2011-03-01 10:00:00,1.00,1,UK
100001,1000 1,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100001,10001ABC,MUG,1,2011-03-01 10:00:00,1.00,1,UK
""",
        {
            "rows.rejected": {
                "INVOICE_NO": 2,
                "PRICE_SCALE": 2,
                "PRICE_NOT_POSITIVE": 2,
                "QUANTITY_SIGN": 2,
                "NOT_MERCHANDISE": 2,
                "STOCK_CODE": 2,
            }
        },
    ),
    Case(
        "prices are exact: trailing zeros don't matter, a hidden fraction does",
        """
100001,10001,MUG,3,2011-03-01 10:00:00,2.550,1,UK
100001,10002,MUG,1,2011-03-01 10:00:00,0.29,1,UK
100001,10003,MUG,1,2011-03-01 10:00:00,7,1,UK
100001,10004,MUG,1,2011-03-01 10:00:00,1.0000000000000000000000000000000000001,1,UK
""",
        {"money.captured_minor": 1494, "rows.rejected": {"PRICE_SCALE": 1}},
    ),
    Case(
        "DUPLICATE_ROW: equal when cleansed, across files, but only to an accepted row",
        """
100001,10001a, red   MUG,1,2011-03-01 10:00:00,1.5,17850.0,UK
100001,10001A,red MUG ,1,2011-03-01 10:00:00,1.50,17850,UK
100001,10001A,RED MUG,1,2011-03-01 10:00:00,1.50,17850,UK
100001,10002,MUG,1,2011-03-01 10:00:00,0,17850,UK
100001,10002,MUG,1,2011-03-01 10:00:00,0,17850,UK
---
100001,10001A,red MUG,1,2011-03-01 10:00:00,1.50,17850,UK
""",
        {
            "rows": {"read": 6, "accepted": 2, "rejected": {"DUPLICATE_ROW": 2, "PRICE_NOT_POSITIVE": 2}},
            "orders": {"PAID": 1},
            "stock.counted": 1000000,
        },
    ),
    Case(
        "an order is its good rows, at the time of the earliest; with none left there is no order",
        """
100001,10001,MUG,1,2011-03-02 00:01:00,1.00,1,UK
100001,10001,MUG,1,2011-03-01 23:59:00,0.00,1,UK
100001,10001,MUG,1,2011-03-01 23:58:00,2.00,1,UK
100002,10001,MUG,1,2011-03-03 10:00:00,0.00,1,UK
""",
        {
            "orders": {"PAID": 1},
            "money.days": [{"date": "2011-03-01", "captured_minor": 300, "refunded_minor": 0}],
        },
    ),
    Case(
        "INVOICE_CHANGED: the same invoice again, with rows that it didn't have",
        """
100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100002,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100001,10002,CUP,5,2011-03-01 10:00:00,1.00,1,UK
100001,10003,JUG,5,2011-03-01 10:00:00,1.00,1,UK
""",
        {
            "rows": {"read": 5, "accepted": 2, "rejected": {"DUPLICATE_ROW": 1, "INVOICE_CHANGED": 2}},
            "orders": {"PAID": 2},
            "money.captured_minor": 200,
            "stock.counted": 1000000,
        },
    ),
    Case(
        "TOTAL_OVERFLOW: more pence than 63 bits hold make no order, before INVOICE_CHANGED; the account goes on",
        """
100001,10001,MUG,100000000,2011-03-01 10:00:00,999999999999.99,1,UK
100001,10002,CUP,1,2011-03-01 10:00:00,1.00,1,UK
100002,10001,MUG,92233720368,2011-03-01 10:00:00,1000000.00,1,UK
100002,POST,POSTAGE,1,2011-03-01 10:00:00,547758.08,1,UK
100003,10001,MUG,92233720368,2011-03-01 10:00:00,1000000.00,1,UK
100003,POST,POSTAGE,1,2011-03-01 10:00:00,547758.07,1,UK
100001,10001,MUG,1,2011-03-02 10:00:00,2.00,1,UK
100001,10002,CUP,1,2011-03-01 10:00:00,1.00,1,UK
100003,10001,MUG,100000000,2011-03-01 10:00:00,999999999999.99,1,UK
100004,10001,MUG,1,2011-03-03 10:00:00,1.00,1,UK
""",
        # 100002 is one penny above 2^63 - 1 and 100003 the number itself, of which the shop has too few pieces.
        {
            "rows": {"read": 10, "accepted": 4, "rejected": {"DUPLICATE_ROW": 1, "TOTAL_OVERFLOW": 5}},
            "orders": {"OUT_OF_STOCK": 1, "PAID": 2},
            "money.captured_minor": 300,
            "stock.counted": 1000000,
        },
    ),
    Case(
        "the end of an order: stock first, then the limit, which itself is still paid",
        """
100001,21843,RED JUG,1,2011-03-01 10:00:00,20000.00,1,UK
100001,10001,MUG,1,2011-03-01 10:00:00,1.00,1,UK
100002,10001,MUG,10,2011-03-01 10:00:00,1000.00,1,UK
100003,10001,MUG,10,2011-03-01 10:00:00,1000.00,1,UK
100003,DOT,POSTAGE,1,2011-03-01 10:00:00,0.01,1,UK
100004,M,MANUAL,4,2011-03-01 10:00:00,2.00,,UK
""",
        {
            "orders": {"OUT_OF_STOCK": 1, "PAID": 2, "PAYMENT_DECLINED": 1},
            "money.captured_minor": 1000800,
            "stock": {"counted": 1000000, "shipped": 10, "returned": 0, "reserved": 0, "on_hand": 999990},
        },
    ),
    Case(
        "settings decide stock and limit",
        """
100001,10001,MUG,5,2011-03-01 10:00:00,1.00,1,UK
100002,10001,MUG,6,2011-03-01 10:00:00,0.10,1,UK
100003,10002,CUP,1,2011-03-01 10:00:00,1.00,1,UK
100004,21843,JUG,1,2011-03-01 10:00:00,5.01,1,UK
""",
        {"orders": {"OUT_OF_STOCK": 2, "PAID": 1, "PAYMENT_DECLINED": 1}, "stock.counted": 10},
        {"opening_stock": 5, "out_of_stock": frozenset({"10002"}), "limit_minor": 500},
    ),
    Case(
        "returns need a customer, then an order of theirs that was paid, in time, for the same thing at the same price",
        """
C100009,10001,MUG,-1,2011-03-05 10:00:00,1.00,1,UK
C100010,10001,MUG,-1,2011-03-01 09:59:59,1.00,1,UK
C100011,10001,MUG,-1,2011-03-01 10:00:00,1.00,1,UK
C100011,10001,CHIPPED MUG,-1,2011-03-01 10:00:00,1.00,1,UK
C100012,10001,MUG,-1,2011-03-05 10:00:00,1.01,1,UK
C100013,10001,MUG,-1,2011-03-05 10:00:00,1.00,2,UK
C100014,10001,MUG,-1,2011-03-05 10:00:00,1.00,,UK
C100015,21843,JUG,-1,2011-03-05 10:00:00,1.00,1,UK
100001,10001,MUG,3,2011-03-01 10:00:00,1.00,1,UK
100002,21843,JUG,2,2011-03-01 10:00:00,1.00,1,UK
100003,10001,MUG,2,2011-03-01 10:00:00,1.00,,UK
""",
        {
            "rows.rejected": {"RETURN_WITHOUT_CUSTOMER": 1, "RETURN_WITHOUT_ORDER": 4},
            "returns": {"invoices": 2, "rows": 3},
        },
    ),
    Case(
        "the same line of a return in another file is paid once, whatever its description; alike in one file it is two",
        """
100001,10001,MUG,9,2011-03-01 10:00:00,1.00,1,UK
C100002,10001,MUG,-1,2011-03-02 10:00:00,1.00,1,UK
C100002,10001,CUP,-1,2011-03-02 10:00:00,1.00,1,UK
---
C100002,10001,JUG,-1,2011-03-02 10:00:00,1.00,1,UK
C100002,10001,POT,-1,2011-03-02 10:00:00,1.00,1,UK
C100002,10001,TUB,-1,2011-03-02 10:00:00,1.00,1,UK
""",
        {"rows.rejected": {"RETURN_REPEATED": 2}, "returns": {"invoices": 1, "rows": 3}},
    ),
    Case(
        "returns go by time, invoice and row; may be split over orders; what is too much takes nothing",
        """
100001,10001,MUG,4,2011-03-01 10:00:00,1.00,1,UK
100002,10001,MUG,5,2011-03-02 10:00:00,1.00,1,UK
100003,10001,MUG,9,2011-03-08 10:00:00,1.00,1,UK
C100009,10001,MUG,-4,2011-03-05 10:00:00,1.00,1,UK
C100008,10001,MUG,-1,2011-03-05 10:00:00,1.00,1,UK
C100007,10001,MUG,-5,2011-03-04 10:00:00,1.00,1,UK
C100006,10001,MUG,-2,2011-03-06 10:00:00,1.00,1,UK
C100006,10001,MUG,-3,2011-03-06 10:00:00,1.00,1,UK
""",
        # In order: -5 of 9, -1 of 4, -4 of 3 refused, -2 of 3, -3 of 1 refused.
        {
            "rows.rejected": {"RETURN_EXCEEDS_ORDER": 2},
            "returns": {"invoices": 3, "rows": 3},
            "money.refunded_minor": 800,
            "money.days": [
                {"date": "2011-03-01", "captured_minor": 400, "refunded_minor": 0},
                {"date": "2011-03-02", "captured_minor": 500, "refunded_minor": 0},
                {"date": "2011-03-04", "captured_minor": 0, "refunded_minor": 500},
                {"date": "2011-03-05", "captured_minor": 0, "refunded_minor": 100},
                {"date": "2011-03-06", "captured_minor": 0, "refunded_minor": 200},
                {"date": "2011-03-08", "captured_minor": 900, "refunded_minor": 0},
            ],
        },
    ),
    Case(
        "a returned charge is money and no stock",
        """
100001,POST,POSTAGE,2,2011-03-01 10:00:00,18.00,1,UK
C100002,POST,POSTAGE,-1,2011-03-01 11:00:00,18.00,1,UK
""",
        {
            "money.refunded_minor": 1800,
            "stock": {"counted": 0, "shipped": 0, "returned": 0, "reserved": 0, "on_hand": 0},
        },
    ),
]
