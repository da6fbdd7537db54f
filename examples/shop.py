"""An invented shop: its catalogue, its invoices and ten ordinary days of trade."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Dict, Iterator, List, Optional, Sequence, TypeVar

T = TypeVar("T")

FIRST_DAY = datetime(2011, 3, 1)
DAYS = 10
ORDINARY_ORDERS = 230
OUT_OF_STOCK_SKU = "21843"

COLOURS = ["AMBER", "CORAL", "INDIGO", "OLIVE", "PEARL", "SAGE", "TEAL", "CRÈME", "ROSÉ", "SLATE"]
MATERIALS = ["BAMBOO", "BRASS", "CORK", "ENAMEL", "FELT", "LINEN", "OAK", "STONEWARE", "TIN", "WICKER"]
THINGS = ["BOOKEND", "BREAD BIN", "CANDLESTICK", "COAT HOOK", "EGG CUP", "LAMP", "NAPKIN RING", "PLANT POT", "TRAY", "VASE"]
QUANTITIES = [1, 1, 2, 2, 3, 4, 6, 6, 8, 10, 12, 24]
COUNTRIES = ["United Kingdom"] * 6 + ["EIRE", "France", "Germany", "Norway"]


@dataclass(frozen=True)
class Product:
    """A product of the shop; the price is in pence."""

    sku: str
    description: str
    price: int


@dataclass
class Line:
    """The raw columns of one row, and the expected reason of its rejection (or empty)."""

    columns: List[str]
    rejected: str = ""

    @property
    def is_return(self) -> bool:
        """Tells whether the row belongs to a cancellation invoice."""
        return self.columns[0].strip().upper().startswith("C")


@dataclass
class Invoice:
    """Consecutive rows, their place in the file, and the expected end of their order."""

    place: datetime
    lines: List[Line]
    end: str = ""


@dataclass
class Sale:
    """A paid line, for later returns."""

    time: datetime
    customer: str
    country: str
    product: Product
    quantity: int


@dataclass
class Shop:
    """The catalogue and the trade, both generated from one seed."""

    random: Random
    catalogue: Dict[str, Product] = field(default_factory=dict)
    next_number: int = 700001

    def __post_init__(self) -> None:
        """Fills the catalogue with all forms of SKUs: digits, with letters, with DCGS."""
        suffixes = ["", "", "A", "B", "BL"]
        for index in range(580):
            sku = f"{60010 + index * 7}{suffixes[index % len(suffixes)]}" if index % 40 else f"DCGS{1000 + index}"
            words = (COLOURS[index % 10], MATERIALS[index // 10 % 10], THINGS[(index // 100 + index) % 10])
            self.catalogue[sku] = Product(sku, " ".join(words), 25 + self.below(70) * 5)
        self.catalogue[OUT_OF_STOCK_SKU] = Product(OUT_OF_STOCK_SKU, "COPPER KETTLE, WHISTLING", 995)
        self.catalogue["POST"] = Product("POST", "POSTAGE", 1800)

    def below(self, bound: int) -> int:
        """Returns a number below the bound; only `random()` is the same in every Python."""
        return int(self.random.random() * bound)

    def pick(self, items: Sequence[T]) -> T:
        """Returns one of the items."""
        return items[self.below(len(items))]

    def merchandise(self) -> List[Product]:
        """Returns all products in stock."""
        return [product for sku, product in self.catalogue.items() if sku not in (OUT_OF_STOCK_SKU, "POST")]

    def number(self) -> str:
        """Returns the next invoice number."""
        self.next_number += 1
        return str(self.next_number - 1)

    def ordinary_days(self) -> Iterator[Invoice]:
        """Yields orders by time, with the usual small errors, and their returns."""
        sales: List[Sale] = []
        per_day = ORDINARY_ORDERS // DAYS
        for day in range(DAYS):
            for minute in sorted(self.below(600) for _ in range(per_day)):
                time = FIRST_DAY + timedelta(days=day, hours=8, minutes=minute)
                yield self.ordinary_order(time, sales)
                if self.below(8) == 0 and sales:
                    yield self.ordinary_return(time + timedelta(minutes=1), sales)

    def ordinary_order(self, time: datetime, sales: List[Sale]) -> Invoice:
        """Returns an order of 1 to 22 lines of a customer or a guest, with some invalid rows."""
        number, country = self.number(), self.pick(COUNTRIES)
        customer = f"{20001 + self.below(60)}{self.pick(['', '.0'])}" if self.below(10) < 7 else ""
        products: Dict[str, Product] = {}
        for _ in range(1 + self.below(22)):
            product = self.pick(self.merchandise())
            products[product.sku] = product
        if self.below(25) == 0:
            products[OUT_OF_STOCK_SKU] = self.catalogue[OUT_OF_STOCK_SKU]
        if country != "United Kingdom":
            products["POST"] = self.catalogue["POST"]
        end = "OUT_OF_STOCK" if OUT_OF_STOCK_SKU in products else "PAID"
        lines: List[Line] = []
        for product in products.values():
            quantity = 1 if product.sku == "POST" else self.pick(QUANTITIES)
            columns = row(number, product, quantity, time, customer, country)
            lines.extend(self.with_faults(columns))
            if customer and end == "PAID":
                sales.append(Sale(time, customer, country, product, quantity))
        return Invoice(time, lines, end)

    def with_faults(self, columns: List[str]) -> Iterator[Line]:
        """Yields a valid row, sometimes carelessly typed or followed by an invalid one."""
        typed = list(columns)
        if self.below(15) == 0:
            typed[1] = typed[1].lower()
        if self.below(40) == 0:
            typed[1] = f" {typed[1]} "
        yield Line(typed)
        chance = self.below(100)
        if chance == 0:
            yield Line(columns, "DUPLICATE_ROW")
        elif chance == 1:
            yield Line([*columns[:5], "0.0", *columns[6:]], "PRICE_NOT_POSITIVE")
        elif chance == 2 and self.below(3) == 0:
            yield Line([columns[0], "D", "Discount", *columns[3:]], "NOT_MERCHANDISE")

    def ordinary_return(self, time: datetime, sales: List[Sale]) -> Invoice:
        """Makes a return invoice for some lines of one customer, each at most once."""
        first = self.pick(sales)
        number = f"C{self.number()}"
        wanted = [sale for sale in sales if same_customer(sale, first)][: 1 + self.below(3)]
        lines = []
        for sale in wanted:
            sales.remove(sale)
            quantity = -(1 + self.below(sale.quantity))
            lines.append(Line(row(number, sale.product, quantity, time, sale.customer, sale.country)))
        return Invoice(time, lines)


def same_customer(sale: Sale, other: Sale) -> bool:
    """Tells whether two sales have the same customer, in either spelling of the number."""
    return sale.customer.split(".")[0] == other.customer.split(".")[0]


def row(
    number: str,
    product: Product,
    quantity: int,
    time: datetime,
    customer: str,
    country: str = "United Kingdom",
    price: Optional[str] = None,
) -> List[str]:
    """Returns the eight columns of a row; the price defaults to the catalogue's."""
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    amount = f"{product.price // 100}.{product.price % 100:02}" if price is None else price
    return [number, product.sku, product.description, str(quantity), stamp, amount, customer, country]
