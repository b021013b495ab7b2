"""Replicated objects on three nodes: PySyncObj's own, which keep everything in memory, beside `folkmoot.compat.pysyncobj`, whose
agents have written and synced each call on a majority before it counts.

`python batteries.py ADDRESS ADDRESS ADDRESS` is one of PySyncObj's nodes: the first address is its own.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator, List, Tuple

import pysyncobj
import pysyncobj.batteries

import folkmoot.testing
from folkmoot.compat import pysyncobj as ours
from folkmoot.compat.pysyncobj import batteries as our_batteries

SECONDS = 1.0
#: Calls under way at once where callbacks count them.
PIPELINE = 64
#: Seconds for a node to be ready, and for calls that were under way at the end.
PATIENCE = 60

Numbers = Tuple[float, float, float]


def compared(runs: int) -> Iterator[Tuple[str, Numbers, Numbers]]:
    addresses = ["127.0.0.1:%d" % port for port in free_ports(3)]
    others = [start(addresses[index:] + addresses[:index]) for index in (1, 2)]
    theirs = pysyncobj.batteries.ReplCounter()
    node = pysyncobj.SyncObj(addresses[0], addresses[1:], consumers=[theirs])
    try:
        node.waitReady()
        with folkmoot.testing.cluster(nodes=3) as cluster:
            mine = our_batteries.ReplCounter()
            conf = ours.SyncObjConf(sidecar=cluster.addresses)
            client = ours.SyncObj("127.0.0.1:1", ["127.0.0.1:2"], conf=conf, consumers=[mine])
            try:
                client.waitReady()
                yield "ReplCounter.inc, one at a time", middle(runs, one_by_one, theirs), middle(runs, one_by_one, mine)
                yield "ReplCounter.inc, %d under way" % PIPELINE, middle(runs, piped, theirs), middle(runs, piped, mine)
            finally:
                client.destroy()
    finally:
        node.destroy()
        for other in others:
            other.kill()
            other.wait()


def one_by_one(counter: Any) -> Numbers:
    spans: List[float] = []
    begun = now = time.perf_counter()
    while now < begun + SECONDS:
        try:
            counter.inc(sync=True)
        except (pysyncobj.SyncObjException, ours.SyncObjException):
            # An election: PySyncObj throws calls away meanwhile. They do not count.
            now = time.perf_counter()
            continue
        then, now = now, time.perf_counter()
        spans.append(now - then)
    spans.sort()
    return len(spans) / (now - begun), spans[len(spans) // 2] * 1e6, spans[len(spans) * 99 // 100] * 1e6


def piped(counter: Any) -> Numbers:
    room, done, spans = threading.Semaphore(PIPELINE), threading.Semaphore(0), []

    def call() -> None:
        asked = time.perf_counter()

        def answered(_: Any, error: Any) -> None:
            if not error:
                spans.append(time.perf_counter() - asked)
            room.release()
            done.release()

        counter.inc(callback=answered)

    begun, calls = time.perf_counter(), 0
    while time.perf_counter() < begun + SECONDS:
        assert room.acquire(timeout=PATIENCE)
        call()
        calls += 1
    for _ in range(calls):
        assert done.acquire(timeout=PATIENCE)
    took = time.perf_counter() - begun
    spans.sort()
    return len(spans) / took, spans[len(spans) // 2] * 1e6, spans[len(spans) * 99 // 100] * 1e6


def middle(runs: int, measure: Any, counter: Any) -> Numbers:
    return sorted(measure(counter) for _ in range(runs))[runs // 2]


def start(addresses: List[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(Path(__file__).resolve()), *addresses])


def free_ports(count: int) -> List[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main() -> None:
    """A node, until it is killed."""
    node = pysyncobj.SyncObj(sys.argv[1], sys.argv[2:], consumers=[pysyncobj.batteries.ReplCounter()])
    node.waitReady()
    threading.Event().wait()


if __name__ == "__main__":
    main()
