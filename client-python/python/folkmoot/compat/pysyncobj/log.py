"""The log of calls in the group, from this program's side: writes what it is given, hands over what the group has.

Keys, below `pysyncobj/NAME/`:

* `calls/WRITER/NUMBER`: an entry: calls that were written together. The revision of its creation is its place in the log.
  A writer numbers its entries; whoever applies them skips numbers that do not rise, so an entry that was written twice,
  because nobody knew whether it had been, counts once.
* `large/WRITER/NUMBER/PART`: an entry that is too large for one key.
* `snapshot`: which state holds through which revision; replaced by a transaction that says which one it replaces and that
  all parts of the new one are there.
* `states/ID/PART`: the state. With it, and the entries behind its revision, a program knows everything.
* `present/NODE`: programs that run, bound to their sessions; `leader` is an election among them.

All of it runs on an event loop in a thread of its own; `inbox` is what came of it, for the thread that applies.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import json
import logging
import pickle
import queue
import threading
import uuid
from typing import Any, Awaitable, Callable, Coroutine, Deque, Dict, FrozenSet, List, NamedTuple, Optional, Set, Tuple
from urllib.parse import quote, unquote

import folkmoot.aio
from folkmoot import exceptions as faults
from folkmoot.results import Entry, GroupStatus, Resync
from folkmoot.transactions import Compare, Operation

from .config import FAIL_REASON

_log = logging.getLogger("folkmoot")

#: Bytes of a name in keys; a longer one, of many nodes, is replaced by its hash. Ours: the rest of a key has room.
NAME_BYTES_MAX = 512
#: Calls of one entry. Ours: a batch that is pickled and applied in milliseconds.
CALLS_PER_ENTRY = 1000
#: Bytes of one key's value, an eighth below the group's limit of 1 MiB.
PART_BYTES = 896 * 1024
#: Parts of a state: the compares of one transaction, less the one for the pointer. So a state has at most 111 MiB.
STATE_PARTS_MAX = 127
#: Deletes of one transaction (coordination/src/limits.rs).
DELETES_PER_TRANSACTION = 128
#: Entries that wait to be applied, from which on no further ones are read.
INBOX_MAX = 1000
#: Seconds between attempts where the group does not answer: the first pause, and the longest.
PAUSES = (0.05, 1.0)
#: Seconds between looks at the group's state and at who is present.
LOOK_PERIOD = 1.0
#: Seconds that a silent program is remembered at least: the client's default.
CLIENT_TTL = 15.0
#: Seconds for giving everything back at the end.
CLOSE_LIMIT = 5.0

Callback = Optional[Callable[[Any, int], Any]]

#: Failures after which nothing was done, so that the same call may wait for better times.
_NOTHING_DONE = (faults.NoQuorum, faults.NoGroup, faults.ConnectError, faults.Overloaded)
#: Failures after which it may have been done.
_UNKNOWN = (faults.Timeout, faults.Closed, faults.ClientExpired, faults.ProtocolError)


class Batch(NamedTuple):
    """An entry of the log."""

    key: str
    writer: str
    number: int
    revision: int
    calls: List[bytes]


class Loaded(NamedTuple):
    """Everything, as of one revision: a snapshot (None: there is none) and the entries behind it."""

    state: Optional[bytes]
    through: int
    batches: List[Batch]
    #: Entries that the snapshot covers, and that are still there.
    covered: List[str]


class Removed(NamedTuple):
    """An entry that a snapshot has replaced."""

    key: str


class Told(NamedTuple):
    """What a callback is to be told."""

    callback: Callable[[Any, int], Any]
    result: Any
    reason: int


class Saved(NamedTuple):
    """Whether the snapshot that was given to `save` is in place."""

    done: bool


class Stood(NamedTuple):
    """This program leads from now on, or does so no longer."""

    leads: bool


class Settings(NamedTuple):
    """What a log needs to know."""

    name: str
    agents: List[str]
    key: str
    #: This program's address; None: it reads along, and cannot lead.
    node: Optional[str]
    queue_size: int
    calls_per_entry: int
    bytes_per_entry: int
    waits: bool
    session_ttl: float
    reconnect: float
    retry_pause: float


class _Behind(Exception):
    """What was to be read has been replaced by a newer snapshot."""


class GroupLog:
    """The log of one object. `inbox` has `Loaded` first, then `Batch`, `Removed`, and the rest as it happens."""

    def __init__(self, settings: Settings) -> None:
        self.writer = uuid.uuid4().hex
        self.inbox: queue.Queue[Any] = queue.Queue()
        #: Callbacks of entries that were sent and are not applied here yet, by number.
        self.own: Dict[int, List[Callback]] = {}
        #: Locks that this program has, by the holder's name and the lock's.
        self.locks: Dict[str, Dict[str, folkmoot.aio.Held]] = {}
        self.leads = False
        self.leader: Optional[str] = None
        self.term = 0
        self.status: Optional[GroupStatus] = None
        self.present: FrozenSet[str] = frozenset()
        #: Seconds of silence after which the group forgets this program, and what it holds. Locks may want more.
        self.client_ttl = CLIENT_TTL
        #: Failed attempts to reach an agent, before the first one succeeded.
        self.attempts = 0
        self._settings = settings
        name = quote(settings.name, safe=",:@[]")
        if len(name) > NAME_BYTES_MAX:
            name = hashlib.sha256(name.encode()).hexdigest()
        self.prefix = "pysyncobj/%s/" % name
        self._calls = self.prefix + "calls/"
        self._waiting: Deque[Tuple[bytes, Callback]] = collections.deque()
        self._number = 0
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._moot: Optional[folkmoot.aio.Client] = None
        self._thread = threading.Thread(target=self._run, name="pysyncobj", daemon=True)
        self._up = threading.Event()
        self._closing = threading.Lock()
        self._closed = False

    # -- For other threads ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins."""
        self._thread.start()
        self._up.wait()

    def close(self, wait: bool = True) -> None:
        """Ends it; nothing is sent any more."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._soon(lambda: self._task.cancel())
        if wait and self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(CLOSE_LIMIT)

    def submit(self, call: bytes, callback: Callback) -> int:
        """Puts a call behind those that wait to be sent; FAIL_REASON says why not."""
        with self._closing:
            if self._closed:
                return FAIL_REASON.DISCARDED
            if len(self._waiting) >= self._settings.queue_size:
                return FAIL_REASON.QUEUE_FULL
            self._waiting.append((call, callback))
        self._soon(lambda: self._work.set())
        return FAIL_REASON.SUCCESS

    def halt(self) -> None:
        """Sends nothing any more. Calls that wait are told that nothing was done."""

        self._soon(lambda: self._fail(self._withdrawn(), FAIL_REASON.REQUEST_DENIED))

    def save(self, state: bytes, through: int, covered: List[str]) -> None:
        """Puts a snapshot in the place of these entries; `Saved` says what came of it."""
        self._soon(lambda: self._spawn(self._save(state, through, covered)))

    def step_down(self) -> None:
        """Leads no longer, and stands again behind the others."""
        self._soon(lambda: self._resign.set())

    def taken(self) -> None:
        """The inbox was read."""
        if self.inbox.qsize() < INBOX_MAX // 2:
            self._soon(lambda: self._room.set())

    def run(self, action: Callable[[folkmoot.aio.Client], Awaitable[Any]], done: Callable[[Any, Any], None]) -> None:
        """Does something with the client: `done(result, None)`, or `done(None, exception)`, on the log's thread. Waits until
        there is a connection."""

        def begin() -> None:
            if self._closed:
                done(None, _destroyed())
            else:
                self._spawn(self._act(action, done))

        if not self._soon(begin):
            done(None, _destroyed())

    def _soon(self, step: Callable[[], Any]) -> bool:
        loop = self._loop
        if loop is None:
            return False
        try:
            loop.call_soon_threadsafe(step)
        except RuntimeError:
            return False  # The loop has ended, and what it did with it.
        return True

    # -- The thread ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except asyncio.CancelledError:
            pass
        except BaseException:
            _log.critical("the log of %s has ended", self._settings.name, exc_info=True)
        finally:
            self._end()
            self._up.set()

    async def _main(self) -> None:
        self._work, self._room, self._resign, self._online = (asyncio.Event() for _ in range(4))
        self._tasks: Set[asyncio.Task[Any]] = set()
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._loop = asyncio.get_running_loop()
        self._work.set()
        self._up.set()
        moot = await self._connect()
        try:
            self._moot = moot
            self._online.set()
            for part in (self._follow(moot), self._send(moot), self._stand(moot), self._observe(moot), self._look(moot)):
                self._spawn(part)
            # None of them ends by itself.
            await asyncio.wait(self._tasks.copy(), return_when=asyncio.FIRST_EXCEPTION)
        finally:
            running = self._tasks.copy()
            for each in running:
                each.cancel()
            if running:
                # Office and session are given back.
                await asyncio.wait(running, timeout=CLOSE_LIMIT)
            await moot.close()

    async def _connect(self) -> folkmoot.aio.Client:
        settings = self._settings
        while True:
            try:
                return await folkmoot.aio.connect(
                    *settings.agents,
                    auth_key=settings.key,
                    reconnect=settings.reconnect,
                    client_ttl=self.client_ttl,
                    codec=folkmoot.JSON,
                )
            except faults.FolkmootError as fault:
                self.attempts += 1
                _log.warning("pysyncobj %s: no agent: %s", settings.name, fault)
                self._no_leader_yet()
                await asyncio.sleep(settings.retry_pause)

    def _no_leader_yet(self) -> None:
        """Fails what waits, where nothing is to wait for a leader."""
        if not self._settings.waits:
            self._fail(self._withdrawn(), FAIL_REASON.MISSING_LEADER)

    def _withdrawn(self) -> List[Callback]:
        """Takes back the calls that wait. Other threads may add some meanwhile."""
        callbacks: List[Callback] = []
        while self._waiting:
            callbacks.append(self._waiting.popleft()[1])
        return callbacks

    def _end(self) -> None:
        """Nothing is sent any more, and nothing that was sent is followed: tells so to all who wait for it."""
        with self._closing:
            self._closed = True
        self._fail(self._withdrawn(), FAIL_REASON.DISCARDED)
        for number in list(self.own):
            self._fail(self.own.pop(number, []), FAIL_REASON.UNKNOWN_OUTCOME)

    def _fail(self, callbacks: List[Callback], reason: int) -> None:
        for callback in callbacks:
            if callback is not None:
                self.inbox.put(Told(callback, None, reason))

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _log.critical("pysyncobj %s: broken", self._settings.name, exc_info=task.exception())

    async def _act(self, action: Callable[[folkmoot.aio.Client], Awaitable[Any]], done: Callable[..., None]) -> None:
        try:
            await self._online.wait()
            assert self._moot is not None
            result = await action(self._moot)
        except asyncio.CancelledError:
            done(None, _destroyed())
            raise
        except Exception as fault:
            done(None, fault)
        else:
            done(result, None)

    async def _again(self, what: str, step: Callable[[], Awaitable[Any]]) -> None:
        """Does something for ever, with pauses where it fails."""
        failures = 0
        while True:
            try:
                await step()
                failures = 0
            except (faults.FolkmootError, _Behind) as fault:
                failures += 1
                _log.log(logging.INFO if failures < 5 else logging.WARNING, "pysyncobj: %s: %s", what, fault)
                await asyncio.sleep(_pause(failures))

    # -- Reading -------------------------------------------------------------------------------------------------------

    async def _follow(self, moot: folkmoot.aio.Client) -> None:
        async def once() -> None:
            after = await self._load(moot)
            async with moot.kv.watch(self._calls, after) as changes:
                async for change in changes:
                    if isinstance(change, Resync):
                        raise _Behind("changes up to %d are forgotten" % change.through)
                    if change.what == "put":
                        value = change.value or b""
                        self.inbox.put(await self._batch(moot, change.key, value, change.revision))
                    else:
                        self.inbox.put(Removed(change.key))
                    while self.inbox.qsize() >= INBOX_MAX:
                        self._room.clear()
                        await self._room.wait()

        await self._again("following", once)

    async def _load(self, moot: folkmoot.aio.Client) -> int:
        """Hands over everything as of the revision that is returned."""
        page = await moot.kv.list(self.prefix + "snapshot", limit=1)
        pointer = page.entries[0] if page.entries else None
        state, through = None, 0
        if pointer is not None:
            identity, parts, through = json.loads(pointer.value)
            state = await self._whole(moot, self.prefix + "states/%s/" % identity, parts)
        listed = [entry for entry in await moot.kv.list_all(self._calls) if entry.created <= page.revision]
        if _written(await moot.kv.get(self.prefix + "snapshot")) != _written(pointer):
            # Entries may have been removed before they were listed.
            raise _Behind("a snapshot came between")
        behind = sorted((entry for entry in listed if entry.created > through), key=lambda entry: entry.created)
        batches = [await self._batch(moot, entry.key, entry.value, entry.created) for entry in behind]
        covered = [entry.key for entry in listed if entry.created <= through]
        self.inbox.put(Loaded(state, through, batches, covered))
        return page.revision

    async def _batch(self, moot: folkmoot.aio.Client, key: str, value: bytes, revision: int) -> Batch:
        writer, number = key[len(self._calls) :].split("/")
        if value[:1] == b"L":
            value = await self._whole(moot, self.prefix + "large/%s/%s/" % (writer, number), int(value[1:]))
        else:
            value = value[1:]
        return Batch(key, writer, int(number, 16), revision, pickle.loads(value))

    async def _whole(self, moot: folkmoot.aio.Client, prefix: str, parts: int) -> bytes:
        found: List[bytes] = []
        for part in range(parts):
            entry = await moot.kv.get(prefix + "%06d" % part)
            if entry is None:
                raise _Behind("%s is gone" % prefix)
            found.append(entry.value)
        return b"".join(found)

    # -- Writing -------------------------------------------------------------------------------------------------------

    async def _send(self, moot: folkmoot.aio.Client) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            while self._waiting:
                calls, callbacks = self._next_entry()
                self._number += 1
                self.own[self._number] = callbacks
                reason = await self._write(moot, self._number, pickle.dumps(calls, 4))
                if reason != FAIL_REASON.SUCCESS and self.own.pop(self._number, None) is not None:
                    self._fail(callbacks, reason)

    def _next_entry(self) -> Tuple[List[bytes], List[Callback]]:
        calls: List[bytes] = []
        callbacks: List[Callback] = []
        size = 0
        while self._waiting and len(calls) < self._settings.calls_per_entry:
            size += len(self._waiting[0][0])
            if calls and size > self._settings.bytes_per_entry:
                break
            call, callback = self._waiting.popleft()
            calls.append(call)
            callbacks.append(callback)
        return calls, callbacks

    async def _write(self, moot: folkmoot.aio.Client, number: int, value: bytes) -> int:
        """Writes an entry, however often it has to be tried; FAIL_REASON says how it went."""
        place, attempts, perhaps = "%s/%012x" % (self.writer, number), 0, False
        while True:
            try:
                inline = b"C" + value
                if len(value) >= PART_BYTES:
                    parts = await self._put_parts(moot, self.prefix + "large/%s/" % place, value)
                    inline = b"L%d" % parts
                # Only where it is absent: an attempt that was given up may have been carried out.
                await moot.kv.compare_and_set(self._calls + place, None, inline)
                return FAIL_REASON.SUCCESS
            except _NOTHING_DONE as fault:
                _log.info("pysyncobj: writing waits: %s", fault)
            except _UNKNOWN as fault:
                perhaps = True
                _log.info("pysyncobj: writing again: %s", fault)
            except faults.FolkmootError as fault:
                _log.error("pysyncobj: the group refuses a call: %s", fault)
                return FAIL_REASON.UNKNOWN_OUTCOME if perhaps else FAIL_REASON.REQUEST_DENIED
            if not self._settings.waits:
                return FAIL_REASON.UNKNOWN_OUTCOME if perhaps else FAIL_REASON.MISSING_LEADER
            attempts += 1
            await asyncio.sleep(_pause(attempts))

    async def _put_parts(self, moot: folkmoot.aio.Client, prefix: str, value: bytes) -> int:
        pieces = [value[start : start + PART_BYTES] for start in range(0, len(value), PART_BYTES)]
        for part, piece in enumerate(pieces):
            await moot.kv.put(prefix + "%06d" % part, piece)
        return len(pieces)

    # -- Snapshots -----------------------------------------------------------------------------------------------------

    async def _save(self, state: bytes, through: int, covered: List[str]) -> None:
        assert self._moot is not None
        try:
            done = await self._replace(self._moot, state, through)
            if done:
                await self._tidy(self._moot, covered)
        except faults.FolkmootError as fault:
            _log.warning("pysyncobj: no snapshot: %s", fault)
            done = False
        self.inbox.put(Saved(done))

    async def _replace(self, moot: folkmoot.aio.Client, state: bytes, through: int) -> bool:
        if len(state) > STATE_PARTS_MAX * PART_BYTES:
            _log.error("pysyncobj: a state of %d bytes is too large for a snapshot", len(state))
            return False
        before = await moot.kv.get(self.prefix + "snapshot")
        if before is not None and json.loads(before.value)[2] >= through:
            return False
        identity = uuid.uuid4().hex
        prefix = self.prefix + "states/%s/" % identity
        parts = await self._put_parts(moot, prefix, state)
        same = Compare.modified(self.prefix + "snapshot", _written(before))
        there = [Compare.exists(prefix + "%06d" % part) for part in range(parts)]
        pointer = json.dumps([identity, parts, through]).encode()
        swap = await moot.kv.transaction([same, *there], [Operation.put(self.prefix + "snapshot", pointer)])
        if not swap.succeeded:
            await moot.kv.delete_prefix(prefix)
            return False
        kept = [prefix + "%06d" % part for part in range(parts)]
        # Older states, and those whose makers were overtaken or died over them.
        await self._delete(moot, [key for key in await self._keys(moot, "states/") if key not in kept])
        return True

    async def _tidy(self, moot: folkmoot.aio.Client, covered: List[str]) -> None:
        """Removes the entries that a snapshot replaces."""
        await self._delete(moot, covered)
        places = {key[len(self._calls) :] for key in covered}
        large = await self._keys(moot, "large/")
        await self._delete(moot, [key for key in large if key[len(self.prefix + "large/") :].rsplit("/", 1)[0] in places])

    async def _keys(self, moot: folkmoot.aio.Client, below: str) -> List[str]:
        return [entry.key for entry in await moot.kv.list_all(self.prefix + below)]

    async def _delete(self, moot: folkmoot.aio.Client, keys: List[str]) -> None:
        for start in range(0, len(keys), DELETES_PER_TRANSACTION):
            some = keys[start : start + DELETES_PER_TRANSACTION]
            await moot.kv.transaction((), [Operation.delete(key) for key in some])

    # -- Who is there, who leads ---------------------------------------------------------------------------------------

    async def _stand(self, moot: folkmoot.aio.Client) -> None:
        node = self._settings.node
        if node is None:
            return

        async def once() -> None:
            async with moot.session(ttl=self._settings.session_ttl) as session:
                await moot.kv.put(self.prefix + "present/" + quote(node, safe=":"), b"", session=session)
                while session.is_held:
                    office = moot.election(self.prefix + "leader", value=node, session=session).campaign()
                    async with office as term:
                        self._resign.clear()
                        self.term = term.token
                        self._lead(True)
                        try:
                            await _first(term.lost(), self._resign.wait())
                        finally:
                            self._lead(False)

        await self._again("standing for election", once)

    def _lead(self, leads: bool) -> None:
        self.leads = leads
        self.inbox.put(Stood(leads))

    async def _observe(self, moot: folkmoot.aio.Client) -> None:
        async def once() -> None:
            async with moot.election(self.prefix + "leader").observe() as leaders:
                async for leader in leaders:
                    self.leader = leader.value if leader.hold is not None else None
                    self.term = leader.token or self.term

        await self._again("observing the election", once)

    async def _look(self, moot: folkmoot.aio.Client) -> None:
        async def once() -> None:
            try:
                self.status = await moot.group.status()
                if self.status.quorum == "lost":
                    self._no_leader_yet()
                prefix = self.prefix + "present/"
                found = await moot.kv.stale().list_all(prefix)
                self.present = frozenset(unquote(entry.key[len(prefix) :]) for entry in found)
            except faults.FolkmootError:
                self.status, self.present = None, frozenset()
                raise
            await asyncio.sleep(LOOK_PERIOD)

        await self._again("looking at the group", once)


def _destroyed() -> faults.Closed:
    return faults.Closed("the object is destroyed")


def _pause(failures: int) -> float:
    """Seconds before the next attempt, twice as long each time."""
    return min(PAUSES[1], PAUSES[0] * (1 << min(failures, 10)))


def _written(entry: Optional[Entry]) -> int:
    return 0 if entry is None else entry.modified


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Waits for the first of these, and ends the others."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
