"""Writes rows of examples/orders.csv in every format: python make.py; needs openpyxl and pyarrow."""

import csv
import datetime
import decimal
import json
import pathlib
from xml.sax.saxutils import escape

import openpyxl
import pyarrow
import pyarrow.parquet

HERE = pathlib.Path(__file__).parent
ROWS = 60

with open(HERE.parents[3] / "examples/orders.csv", newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    names = reader.fieldnames
    rows = [row for _, row in zip(range(ROWS), reader)]


def typed(row):
    """The values as a spreadsheet or a table has them."""
    return {
        **row,
        "Quantity": int(row["Quantity"]),
        "InvoiceDate": datetime.datetime.fromisoformat(row["InvoiceDate"]),
        "UnitPrice": decimal.Decimal(row["UnitPrice"]),
        "CustomerID": int(row["CustomerID"]) if row["CustomerID"].isdigit() else row["CustomerID"] or None,
    }


with open(HERE / "orders.csv", "w", newline="", encoding="windows-1252") as file:
    writer = csv.DictWriter(file, names, delimiter=";")
    writer.writeheader()
    writer.writerows(rows)

with open(HERE / "orders.ndjson", "w", encoding="utf-8") as file:
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

# Numbers as JSON has them: the text of a decimal stays as it is.
def member(row):
    fields = [f'"{name}": {json.dumps(value)}' for name, value in row.items() if name not in ("UnitPrice", "CustomerID")]
    fields.append(f'"UnitPrice": {row["UnitPrice"]}')
    fields.append(f'"CustomerID": {row["CustomerID"] or "null"}')
    return "{" + ", ".join(fields) + "}"


with open(HERE / "orders.json", "w", encoding="utf-8") as file:
    file.write('{"meta": {"rows": [1, 2]}, "data": {"orders": [\n')
    file.write(",\n".join(member(row) for row in rows))
    file.write("\n]}}\n")

with open(HERE / "orders.xml", "w", encoding="iso-8859-1") as file:
    file.write('<?xml version="1.0" encoding="ISO-8859-1"?>\n<orders>\n')
    for row in rows:
        fields = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in row.items())
        file.write(f"  <order>{fields}</order>\n")
    file.write("</orders>\n")

for name, epoch in [("orders", None), ("orders-1904", openpyxl.utils.datetime.CALENDAR_MAC_1904)]:
    book = openpyxl.Workbook()
    if epoch:
        book.epoch = epoch
    sheet = book.active
    sheet.append(names)
    for row in rows:
        sheet.append([typed(row)[name] for name in names])
    book.save(HERE / f"{name}.xlsx")

schema = pyarrow.schema(
    [
        ("InvoiceNo", pyarrow.string()),
        ("StockCode", pyarrow.string()),
        ("Description", pyarrow.string()),
        ("Quantity", pyarrow.int64()),
        ("InvoiceDate", pyarrow.timestamp("us")),
        ("UnitPrice", pyarrow.decimal128(12, 4)),
        ("CustomerID", pyarrow.string()),
        ("Country", pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
    ]
)
table = pyarrow.Table.from_pylist(
    [{**typed(row), "CustomerID": row["CustomerID"] or None} for row in rows], schema
)
pyarrow.parquet.write_table(table, HERE / "orders.parquet", compression="zstd", row_group_size=25)
