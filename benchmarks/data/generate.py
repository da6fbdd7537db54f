#!/usr/bin/env python3
"""Writes the JSON texts that are measured: canonical ProtoJSON, the same on every run.

Fields come in the order of their numbers, as programs write them, and once in another order, as people and scripts do.

Run it after a change here and commit what it writes.
"""

import base64
import json
import pathlib
import random

HERE = pathlib.Path(__file__).parent


def money(units, nanos=0):
    amount = {"currencyCode": "EUR", "units": str(units)}
    return amount | ({"nanos": nanos} if nanos else {})


def line(sku, title, quantity, units, nanos=0):
    return {"sku": sku, "title": title, "quantity": quantity, "price": money(units, nanos)}


def order():
    return {
        "name": "orders/01JD3Z8K5W2QX7M9T4VBN6RHCE",
        "customer": "customers/7f3c9a52-1d84-4e0b",
        "state": "STATE_CONFIRMED",
        "createTime": "2026-11-23T07:46:43.125Z",
        "shippingAddress": {
            "recipient": "Zoë Müller-Lindström",
            "addressLines": ["Große Elbstraße 145e", "c/o \"Hafenkontor\""],
            "locality": "Hamburg",
            "postalCode": "22767",
            "regionCode": "DE",
        },
        "lines": [
            line("KB-2210-ISO-DE", "Mechanical keyboard, ISO, brown switches", 1, 129, 990000000),
            line("MS-0071-L", "Vertical mouse, left-handed", 2, 54, 500000000),
            line("CB-USBC-200", "USB-C cable 2 m", 4, 12, 950000000),
            line("ST-ARM-XL", "Monitor arm 17-32\", clamp", 1, 89),
        ],
        "labels": {"channel": "web", "campaign": "autumn-2026", "warehouse": "ham-2", "risk": "low"},
        "total": money(379, 790000000),
        "giftWrapped": True,
        "note": "Please ring twice.\nLeave with the neighbour on the second floor if nobody answers.",
    }


WORDS = (
    "pump valve north hall sensor backup feed line cooling Kühlung température "
    "ligne Übergabe 温度 датчик primary spare flow mixer dryer"
).split()


class Report:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def number(self, low, high, digits):
        return round(self.random.uniform(low, high), digits)

    def float32(self, low, high):
        # Quarters are exact in binary, so that the shortest text is the same in 32 and 64 bits.
        return self.random.randrange(low * 4 + 1, high * 4, 2) / 4

    def words(self, count):
        return " ".join(self.random.choice(WORDS) for _ in range(count))

    def time(self, digits):
        r = self.random
        text = f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02}T{r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02}"
        # A last digit other than 0 keeps the precision that canonical text shows.
        return text + (f".{r.randrange(1, 10**digits, 2):0{digits}}" if digits else "") + "Z"

    def blob(self, count):
        return base64.b64encode(self.random.randbytes(count)).decode()

    def reading(self):
        return {
            "time": self.time(self.random.choice([0, 3, 6])),
            "value": self.number(-40, 140, 4),
            "sequence": str(self.random.randrange(1, 2**40)),
            "unit": self.random.choice(["°C", "kPa", "m³/h", "%"]),
        }

    def location(self, index):
        match index % 3:
            case 0:
                return {"site": f"site \"{self.random.choice(WORDS)}\"\tbay {index}"}
            case 1:
                return {
                    "position": {
                        "x": self.number(0, 500, 2),
                        "y": self.number(0, 500, 2),
                        "floor": self.random.choice([-2, -1, 1, 2]),
                    }
                }
            case _:
                return {"cellId": str(self.random.randrange(1, 2**50))}

    def device(self, index):
        r = self.random
        device = {
            "id": f"dev-{r.randrange(16**12):012x}",
            "displayName": self.words(3),
            "status": r.choice(["STATUS_ONLINE", "STATUS_DEGRADED", "STATUS_OFFLINE"]),
        }
        if r.random() < 0.8:
            device["enabled"] = True
        device |= {
            "port": r.randrange(1024, 65536),
            "bytesSent": str(r.randrange(1, 2**45)),
            "serialNumber": str(r.randrange(2**60, 2**64)),
            "address": r.randrange(2**24, 2**32),
            "latitude": self.number(-80, 80, 6),
            "longitude": self.number(-170, 170, 6),
            "load": self.float32(0, 100),
            "lastSeenTime": self.time(r.choice([0, 3, 9])),
            "uptime": f"{r.randrange(1, 10**7)}.{r.randrange(1, 1000, 2):03}s",
        }
        if index % 2:
            device["owner"] = self.words(2) + "\n"
            device["rack"] = r.randrange(1, 60)
        if index % 4 == 0:
            device["priority"] = r.choice([0, 5])
        device["readings"] = [self.reading() for _ in range(r.randint(3, 5))]
        device |= self.location(index)
        device["fingerprint"] = self.blob(24)
        return device

    def statistics(self):
        return {
            "count": str(self.random.randrange(1, 10**9)),
            "mean": self.number(-5, 95, 5),
            "deviation": self.number(0, 9, 7),
            "minimum": self.float32(-50, 0),
            "maximum": self.float32(1, 150),
        }

    def whole(self):
        r = self.random
        return {
            "name": "reports/2026-11-23/plant-7",
            "createTime": self.time(9),
            "span": "86400s",
            "summary": "Shift report \"night\":\n" + "\n".join("- " + self.words(9) for _ in range(12)),
            "devices": [self.device(index) for index in range(28)],
            "attributes": {f"{r.choice(WORDS)}.{n}": self.words(3) for n in range(24)},
            "statistics": {f"metric_{n:02}": self.statistics() for n in range(16)},
            "histogram": {str(n * 10): self.number(0, 1, 6) for n in range(40)},
            "samples": [self.number(-1000, 1000, 3) for _ in range(220)],
            "deltas": [r.randrange(-300, 300) for _ in range(240)],
            "tags": [self.words(1) for _ in range(40)],
            "history": [r.choice(["STATUS_ONLINE", "STATUS_DEGRADED", "STATUS_OFFLINE"]) for _ in range(40)],
            "digest": self.blob(512),
        }


def shuffled(value, source):
    """The same value, its members in another order."""
    if isinstance(value, list):
        return [shuffled(item, source) for item in value]
    if not isinstance(value, dict):
        return value
    keys = list(value)
    source.shuffle(keys)
    return {key: shuffled(value[key], source) for key in keys}


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    (HERE / name).write_text(text, encoding="utf-8")
    print(f"{name}: {len(text.encode())} bytes")


if __name__ == "__main__":
    write("order.json", order())
    write("order_shuffled.json", shuffled(order(), random.Random(4)))
    write("report.json", Report(4).whole())
