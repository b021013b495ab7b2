"""The client for asyncio. `folkmoot` has the same names for programs without an event loop.

Example::

    async with folkmoot.aio.connect("127.0.0.1:7373") as moot:
        await moot.event("deploy", b"v2")
        async with moot.lock("training") as held:
            print(held.token)

What opens or holds something (`connect`, `stream`, `query`, `watch`, `acquire`, `campaign`, `claim`, `session`, `enter`) may
be awaited, or entered with ``async with``, which gives it back at the end.
"""

from ._barriers import Barrier, Gate, Passage
from ._client import Client, connect
from ._collections import Counter
from ._elections import Election, Term
from ._group import Group
from ._kv import Kv
from ._locks import Held, Lock, ReadWriteLock, Semaphore
from ._mappings import Dict, List, Set
from ._queues import PriorityQueue, Queue
from ._sessions import Session
from ._streams import Answers, Events, Leaders, Lines, Stream, Watch
from ._work import Item, WorkQueue

__all__ = [
    "Answers",
    "Barrier",
    "Client",
    "Counter",
    "Dict",
    "Election",
    "Events",
    "Gate",
    "Group",
    "Held",
    "Item",
    "Kv",
    "Leaders",
    "Lines",
    "List",
    "Lock",
    "Passage",
    "PriorityQueue",
    "Queue",
    "ReadWriteLock",
    "Semaphore",
    "Session",
    "Set",
    "Stream",
    "Term",
    "Watch",
    "WorkQueue",
    "connect",
]
