"""One node of PySyncObj that measures itself: questions on standard input, numbers on standard output.

Arguments: where its data is to be, own address, addresses of the others.
"""

import sys
import threading
import time

from pysyncobj import SyncObj, SyncObjConf, replicated


class Keys(SyncObj):
    """A replicated dictionary."""

    def __init__(self, own, others, configuration):
        self.keys = {}
        super().__init__(own, others, configuration)

    @replicated
    def put(self, key, value):
        self.keys[key] = value


def percentile(times, share):
    """A percentile of times, in milliseconds."""
    times = sorted(times) or [float("nan")]
    return times[min(len(times) - 1, int(len(times) * share))] * 1000


def write(node, under_way, seconds, entries):
    """Keeps so many writes under way until the time is over or so many are acknowledged.

    Prints their number, the seconds, median and p99.
    """
    times, lock, finished = [], threading.Lock(), threading.Event()
    begun = time.monotonic()
    end = begun + seconds
    left = [under_way]

    def next_write(client):
        sent = time.monotonic()

        def done(_result, error):
            now = time.monotonic()
            if error == 0:
                times.append(now - sent)
            if now < end and len(times) < entries:
                next_write(client)
                return
            with lock:
                left[0] -= 1
                if left[0] == 0:
                    finished.set()

        node.put("key-%d" % (client % 1000), "x" * 128, callback=done)

    for client in range(under_way):
        next_write(client)
    finished.wait(seconds + 30)
    count, took = len(times), time.monotonic() - begun
    print(count, took, percentile(times, 0.5), percentile(times, 0.99), flush=True)


def read(node, seconds):
    """Reads of the node's own dictionary per second: PySyncObj has no others."""
    end, count = time.monotonic() + seconds, 0
    begun = time.monotonic()
    while time.monotonic() < end:
        node.keys.get("key-0")
        count += 1
    print(count, time.monotonic() - begun, flush=True)


def until_written(node):
    """Writes until a write is acknowledged."""
    while True:
        try:
            node.put("after", "x", sync=True, timeout=0.5)
            print(1, flush=True)
            return
        except Exception:  # Every failure is: not yet.
            threading.Event().wait(0.001)


def main():
    data, own, *others = sys.argv[1:]
    # It would bind every address of the machine. Its log is compacted after 5,000 entries: without a dump file a node that
    # was killed would come back with the rest of its journal only, and never catch up.
    configuration = SyncObjConf(journalFile=data + ".journal", fullDumpFile=data + ".dump", bindAddress=own)
    node = Keys(own, others, configuration)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "leads":
            print(int(node._isLeader() and node.isReady()), flush=True)
        elif words[0] == "ready":
            print(int(node.isReady()), flush=True)
        elif words[0] == "applied":
            print(node.raftLastApplied, flush=True)
        elif words[0] == "term":
            print(node.raftCurrentTerm, flush=True)
        elif words[0] == "write":
            write(node, int(words[1]), float(words[2]), int(words[3]))
        elif words[0] == "read":
            read(node, float(words[1]))
        elif words[0] == "until-written":
            until_written(node)


main()
