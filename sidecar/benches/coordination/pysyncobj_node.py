"""One node of PySyncObj that measures itself: questions on standard input, numbers on standard output.

Arguments: journal file, own address, addresses of the others.
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


def write(node, clients, seconds):
    """Keeps `clients` writes under way; prints writes per second, median and p99."""
    times, lock, finished = [], threading.Lock(), threading.Event()
    end = time.monotonic() + seconds
    under_way = [clients]

    def next_write(client):
        begun = time.monotonic()

        def done(_result, error):
            now = time.monotonic()
            if error == 0:
                times.append(now - begun)
            if now < end:
                next_write(client)
                return
            with lock:
                under_way[0] -= 1
                if under_way[0] == 0:
                    finished.set()

        node.put("key-%d" % client, "x" * 128, callback=done)

    begun = time.monotonic()
    for client in range(clients):
        next_write(client)
    finished.wait(seconds + 30)
    print(len(times) / (time.monotonic() - begun), percentile(times, 0.5), percentile(times, 0.99), flush=True)


def read(node, seconds):
    """Reads of the node's own dictionary per second: PySyncObj has no others."""
    end, count = time.monotonic() + seconds, 0
    begun = time.monotonic()
    while time.monotonic() < end:
        node.keys.get("key-0")
        count += 1
    print(count / (time.monotonic() - begun), flush=True)


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
    journal, own, *others = sys.argv[1:]
    # It would bind every address of the machine.
    configuration = SyncObjConf(journalFile=journal, bindAddress=own)
    node = Keys(own, others, configuration)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "leads":
            print(int(node._isLeader() and node.isReady()), flush=True)
        elif words[0] == "write":
            write(node, int(words[1]), float(words[2]))
        elif words[0] == "read":
            read(node, float(words[1]))
        elif words[0] == "until-written":
            until_written(node)


main()
