"""Writes the rows of an order file in another form: `files.py PACKAGES FORM INPUT OUTPUT`.

Values keep their text, but for quantities, prices and times of forms that have types for these. A row that is too short or too
long stays wrong in each form.
"""

import csv
import datetime
import decimal
import gzip
import io
import json
import sys
import zipfile

sys.path.insert(0, sys.argv[1])
FORM, INPUT, OUTPUT = sys.argv[2:]

TIME = "%Y-%m-%d %H:%M:%S"


def read():
    with open(INPUT, newline="", encoding="utf-8-sig") as file:
        rows = csv.reader(file)
        return next(rows), list(rows)


HEADER, ROWS = read()


def number(text, kind):
    """Returns the number of a text that is written plainly, else the text."""
    try:
        value = kind(text.strip())
    except (ValueError, decimal.InvalidOperation):
        return text
    return value if "_" not in text else text


def moment(text):
    try:
        return datetime.datetime.strptime(text.strip(), TIME)
    except ValueError:
        return text


def records():
    """Yields rows by name; the last value of a row that is too long is a list."""
    for row in ROWS:
        record = dict(zip(HEADER, row))
        if len(row) > len(HEADER):
            record[HEADER[-1]] = row[len(HEADER) - 1 :]
        yield record


def typed():
    for record in records():
        for name, kind in (("Quantity", int), ("UnitPrice", decimal.Decimal)):
            if name in record:
                record[name] = number(record[name], kind)
        yield record


class Json(json.JSONEncoder):
    def default(self, value):
        return float(value)


def write(text, encoding="utf-8"):
    # Letters that an encoding lacks are `?`: they stand in descriptions, which no book depends on.
    with open(OUTPUT, "w", newline="", encoding=encoding, errors="replace") as file:
        file.write(text)


def table(**dialect):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n", **dialect)
    writer.writerow(HEADER)
    writer.writerows(ROWS)
    return stream.getvalue()


def whole():
    with open(INPUT, "rb") as file:
        return file.read()


def as_xml():
    from xml.sax.saxutils import escape

    def element(name, value):
        values = value if isinstance(value, list) else [value]
        return "".join(f"<{name}>{escape(value)}</{name}>" for value in values)

    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<export shop="retail"><rows>']
    for record in records():
        lines.append("<row>" + "".join(element(*pair) for pair in record.items()) + "</row>")
    lines.append("</rows></export>")
    write("\n".join(lines))


def as_xlsx():
    import openpyxl
    from openpyxl.cell import WriteOnlyCell

    def text(sheet, value):
        """Text that looks like a formula or an error stays text."""
        cell = WriteOnlyCell(sheet, value)
        cell.data_type = "s"
        return cell

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Orders")
    sheet.append(HEADER)
    for row, record in zip(ROWS, typed()):
        cells = [record.get(name) for name in HEADER[: len(row)]]
        place = HEADER.index("InvoiceDate")
        if len(cells) > place:
            cells[place] = moment(cells[place])
        cells = [float(cell) if isinstance(cell, decimal.Decimal) else cell for cell in cells]
        if len(row) > len(HEADER):
            cells[-1:] = row[len(HEADER) - 1 :]
        sheet.append([text(sheet, cell) if isinstance(cell, str) else cell for cell in cells])
    book.save(OUTPUT)


def as_parquet():
    import pyarrow
    import pyarrow.parquet

    columns = {name: [] for name in HEADER}
    for record in records():
        for name in HEADER:
            value = record.get(name)
            columns[name].append(None if isinstance(value, list) else value)
    columns["Quantity"] = [value if value is None else number(value, int) for value in columns["Quantity"]]
    columns["Quantity"] = [value if isinstance(value, int) else None for value in columns["Quantity"]]
    pyarrow.parquet.write_table(pyarrow.table(columns), OUTPUT, row_group_size=1024)


FORMS = {
    "csv": lambda: write(whole().decode("utf-8")),
    # As a spreadsheet of a European desk exports it.
    "csv-windows": lambda: write(table(delimiter=";", quoting=csv.QUOTE_ALL), "cp1252"),
    # As "Unicode text" of a spreadsheet: UTF-16 with a byte order mark, tabs.
    "csv-utf16": lambda: write(table(delimiter="\t"), "utf-16"),
    "gzip": lambda: open(OUTPUT, "wb").write(gzip.compress(whole())),
    "ndjson": lambda: write("".join(json.dumps(record, cls=Json) + "\n" for record in typed())),
    "json": lambda: write(json.dumps({"export": {"rows": list(typed())}}, cls=Json, indent=1)),
    "xml": as_xml,
    "xlsx": as_xlsx,
    "parquet": as_parquet,
}


def as_zip():
    with zipfile.ZipFile(OUTPUT, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders.csv", whole())


FORMS["zip"] = as_zip
FORMS[FORM]()
