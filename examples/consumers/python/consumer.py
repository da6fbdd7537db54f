"""Reads the facts of one context and appends each to a file, once and in the order of its key.

docs/guides/read-facts.md explains the envelope and where the arguments come from.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Dict, Tuple
from urllib.parse import unquote

import nats
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.json_format import MessageToDict
from nats.aio.msg import Msg
from nats.js import JetStreamContext

# Seconds that one request for the next fact waits.
PULL_S = 5.0


class Contract:
    """The message types of a `FileDescriptorSet`."""

    def __init__(self, path: Path) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        files = descriptor_pb2.FileDescriptorSet.FromString(path.read_bytes()).file
        waiting = {file.name: file for file in files}

        def add(name: str) -> None:
            # A file follows its imports.
            file = waiting.pop(name, None)
            if file is not None:
                for dependency in file.dependency:
                    add(dependency)
                self.pool.Add(file)

        for file in files:
            add(file.name)

    def decode(self, kind: str, payload: bytes) -> dict:
        """Decodes a message; `kind` is its full name."""
        message = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(kind))
        return MessageToDict(message.FromString(payload))


class Effects:
    """A file with one line for each fact: the effect and the fact's identity in one write."""

    def __init__(self, path: Path) -> None:
        self.ids = set()
        self.versions: Dict[str, int] = {}
        self.file = path.open("a+b")
        self.file.seek(0)
        end = 0
        for line in self.file:
            if not line.endswith(b"\n"):
                break
            self._remember(json.loads(line))
            end += len(line)
        # A line that a crash cut off was not acknowledged.
        self.file.truncate(end)

    def apply(self, fact: dict) -> bool:
        """Applies a fact; false for one that was applied before."""
        # A fact that was published again after a disaster may have another id, but not another version.
        if fact["id"] in self.ids or fact["version"] <= self.versions.get(fact["subject"], 0):
            return False
        self.file.write(json.dumps(fact, ensure_ascii=False).encode() + b"\n")
        self.file.flush()
        os.fsync(self.file.fileno())
        self._remember(fact)
        return True

    def _remember(self, fact: dict) -> None:
        self.ids.add(fact["id"])
        self.versions[fact["subject"]] = fact["version"]


def read(message: Msg, contract: Contract) -> dict:
    """Reads the envelope: CloudEvents in binary mode, and the version of the fact in its key's chain."""
    headers = message.headers or {}
    return {
        "id": headers["ce-id"],
        "type": headers["ce-type"],
        "source": headers["ce-source"],
        "key": unquote(headers["ce-subject"]),
        "time": headers["ce-time"],
        "version": int(headers["Mesh-Version"]),
        "subject": message.subject,
        "data": contract.decode(headers["ce-type"], message.data),
    }


async def consume(js: JetStreamContext, place: Tuple[str, str], contract: Contract, effects: Effects) -> None:
    """Applies facts one after another: the durable consumer has one unacknowledged message at most."""
    stream, durable = place
    facts = await js.pull_subscribe_bind(durable, stream)
    while True:
        try:
            messages = await facts.fetch(1, timeout=PULL_S)
        except nats.errors.TimeoutError:
            continue
        for message in messages:
            fact = read(message, contract)
            if effects.apply(fact):
                print(fact["type"], fact["key"], fact["version"], flush=True)
            # Only now: a crash before it brings the fact again, which is then recognised.
            await message.ack()


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="nats://USER:PASSWORD@HOST:PORT")
    parser.add_argument("--stream", required=True, help="stream of the context, such as EVT_INGEST")
    parser.add_argument("--consumer", required=True, help="durable consumer; its name is also the user's")
    parser.add_argument("--contract", required=True, type=Path, help="file with a FileDescriptorSet")
    parser.add_argument("--effects", required=True, type=Path, help="file to append to")
    args = parser.parse_args()
    effects = Effects(args.effects)
    # The user may subscribe to inboxes of its own only.
    broker = await nats.connect(args.url, inbox_prefix=f"_INBOX_{args.consumer}".encode())
    place = (args.stream, args.consumer)
    work = asyncio.ensure_future(consume(broker.jetstream(), place, Contract(args.contract), effects))
    for sign in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(sign, work.cancel)
    try:
        await work
    except asyncio.CancelledError:
        pass
    finally:
        await broker.close()


if __name__ == "__main__":
    asyncio.run(main())
