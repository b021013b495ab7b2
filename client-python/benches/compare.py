"""Calls per second, latency and stream events of this package beside PyPI's serfclient, on the same agent, in one run; and
the replicated objects of `folkmoot.compat.pysyncobj` beside PySyncObj's own, on three nodes of each.

    scripts/python-bench            # builds, makes the environment, runs all
    scripts/python-bench calls      # one part of: calls, stream, batteries

A row is the median of five runs of a second or so; `p50` and `p99` are microseconds of one call. Both clients are in one
process and take turns, run by run, so that they share the machine's mood.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Awaitable, Callable, Iterable, List, Tuple

import folkmoot
import folkmoot.aio
import folkmoot.testing
from serfclient.client import SerfClient

HERE = Path(__file__).resolve().parent
RUNS = 5
SECONDS = 1.0
THREADS = 16
TASKS = 100
EVENTS = 100_000


def main() -> None:
    parts = {"calls": calls, "stream": stream, "batteries": batteries}
    chosen = sys.argv[1:] or list(parts)
    for name in chosen:
        peer = "PySyncObj" if name == "batteries" else "serfclient"
        print(f"{name:34}{peer:>14}{'folkmoot':>14}{'times':>8}")
        parts[name]()


def calls() -> None:
    with folkmoot.testing.cluster(nodes=1) as cluster:
        address = cluster.nodes[0].address
        host, port = address.rsplit(":", 1)

        def theirs() -> Any:
            return SerfClient(host=host, port=int(port), timeout=60)

        with folkmoot.connect(address) as ours:
            for what, old, new in (
                ("members", lambda client: client.members(), lambda: ours.members()),
                ("stats", lambda client: client.stats(), lambda: ours.stats()),
                ("event", lambda client: client.event("load", b"x"), lambda: ours.event("load", b"x")),
            ):
                for threads in (1, THREADS):
                    clients = [theirs() for _ in range(threads)]
                    before = [lambda client=client, old=old: old(client) for client in clients]
                    row(f"{what}, {threads} thread{'s'[: threads - 1]}", *in_turns(before, [new] * threads))
        asyncio.run(tasks(address, theirs))


async def tasks(address: str, theirs: Callable[[], Any]) -> None:
    """What a user of serfclient does in asyncio: a pool of threads, each with a client of its own."""
    local = threading.local()
    pool = ThreadPoolExecutor(THREADS)
    loop = asyncio.get_running_loop()

    def call() -> None:
        if not hasattr(local, "client"):
            local.client = theirs()
        local.client.members()

    async def before() -> None:
        await loop.run_in_executor(pool, call)

    async with folkmoot.aio.connect(address) as ours:

        async def after() -> None:
            await ours.members()

        runs = [(await gathered(before), await gathered(after)) for _ in range(RUNS)]
        row(f"members, asyncio, {TASKS} tasks", *map(middle, zip(*runs)))
    pool.shutdown()


def stream() -> None:
    def theirs() -> float:
        with Firehose() as (address, more):
            host, port = address.rsplit(":", 1)
            client = SerfClient(host=host, port=int(port), timeout=60)
            return drunk(iter(client.stream().body), more)

    def ours() -> float:
        with Firehose() as (address, more), folkmoot.connect(address) as client:
            with client.stream("*") as events:
                return drunk(iter(events), more)

    runs = [(theirs(), ours()) for _ in range(RUNS)]
    row("stream, events", *((statistics.median(rates), 0.0, 0.0) for rates in zip(*runs)))


class Firehose:
    def __enter__(self) -> Tuple[str, Callable[[], None]]:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "firehose.py"), str(EVENTS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        pipe, out = self.process.stdin, self.process.stdout
        assert pipe is not None and out is not None

        def more() -> None:
            pipe.write(b"\n")
            pipe.flush()

        return out.readline().decode().strip(), more

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def drunk(events: Any, more: Callable[[], None]) -> float:
    """Events a second, with two bursts under way."""
    from firehose import BURST

    total = EVENTS // BURST * BURST
    more()
    more()
    begun = time.perf_counter()
    for number in range(1, total + 1):
        next(events)
        if number % BURST == 0 and number <= total - 2 * BURST:
            more()
    return total / (time.perf_counter() - begun)


def batteries() -> None:
    from batteries import compared

    for what, theirs, ours in compared(RUNS):
        row(what, theirs, ours)


Numbers = Tuple[float, float, float]


def in_turns(before: List[Callable[[], Any]], after: List[Callable[[], Any]]) -> Iterable[Numbers]:
    """Of as many threads with theirs, and then with ours."""
    return map(middle, zip(*[(threaded(before), threaded(after)) for _ in range(RUNS)]))


def threaded(call_of_each: List[Callable[[], Any]]) -> Numbers:
    """Calls a second of as many threads, p50 and p99 in microseconds."""
    end = time.perf_counter() + SECONDS
    spans: List[List[float]] = [[] for _ in call_of_each]

    def work(call: Callable[[], Any], mine: List[float]) -> None:
        now = time.perf_counter()
        while now < end:
            call()
            then, now = now, time.perf_counter()
            mine.append(now - then)

    begun = time.perf_counter()
    threads = [threading.Thread(target=work, args=pair) for pair in zip(call_of_each, spans)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return numbers([span for mine in spans for span in mine], time.perf_counter() - begun)


async def gathered(call: Callable[[], Awaitable[None]]) -> Numbers:
    end = time.perf_counter() + SECONDS
    spans: List[float] = []

    async def work() -> None:
        now = time.perf_counter()
        while now < end:
            await call()
            then, now = now, time.perf_counter()
            spans.append(now - then)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(TASKS)))
    return numbers(spans, time.perf_counter() - begun)


def numbers(spans: List[float], took: float) -> Numbers:
    spans.sort()
    return len(spans) / took, spans[len(spans) // 2] * 1e6, spans[len(spans) * 99 // 100] * 1e6


def middle(runs: Iterable[Numbers]) -> Numbers:
    runs = list(runs)
    return sorted(runs)[len(runs) // 2]


def row(what: str, theirs: Numbers, ours: Numbers) -> None:
    print(f"{what:34}{theirs[0]:>12,.0f}/s{ours[0]:>12,.0f}/s{ours[0] / theirs[0]:>8.1f}", flush=True)
    if theirs[1]:
        print(f"{'  p50, p99 in us':34}{theirs[1]:>7,.0f}{theirs[2]:>7,.0f}{ours[1]:>7,.0f}{ours[2]:>7,.0f}", flush=True)


if __name__ == "__main__":
    main()
