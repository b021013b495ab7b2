"""The compiled half of the package: what `folkmoot.aio` and `folkmoot._sync` are made of. Not for users.

Conventions. Every call returns a `Pending`, which runs once it is waited for or to be delivered. Values are
plain: tuples in the order written here, lists, dicts, str, bytes, int, float, bool, None. Spans and times are seconds
(float). Text travels as UTF-8 with `surrogateescape` for what is not. Numbers that name something (sessions, holds, items)
are None where there is none. `wait` is how long a call may wait for what it wants: None without end, 0 not at all; what was
not had in time comes back as None, or as an empty list (`work_claim`), or as False (`barrier_wait`, `Passage.leave`).
Failures are exceptions of `folkmoot.exceptions`, made as `Class(text, code, command, detail)`: for people; the stable word
(`not-held`, `closed`, ...); the name of the command or None; for `KeyringError` a `KeyAnswer`, else None.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, Literal, Optional, TypeVar, Union, final

from typing_extensions import TypeAlias

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

VERSION: str
# Every word by which a class is looked up in `folkmoot.exceptions.CLASSES`.
WORDS: list[str]

# --- values -------------------------------------------------------------------------------------------------------------

# name, address ("10.0.0.1", "fe80::1"), port, tags, status, protocol min, max, cur, delegate min, max, cur
Member: TypeAlias = tuple[str, str, int, dict[str, str], str, int, int, int, int, int, int]
# vector, error, adjustment, height
Coordinate: TypeAlias = tuple[list[float], float, float, float]
# keys (key -> on how many nodes), messages (node -> text), nodes, responses, errors
KeyAnswer: TypeAlias = tuple[dict[str, int], dict[str, str], int, int, int]
# handler, source, runs, failures, dropped, waiting
Handler: TypeAlias = tuple[str, str, int, int, int, int]
# ("member-join", ... , [member, ...]) | ("user", name, payload, ltime, coalesce) | ("query", id, name, payload, ltime)
EventRecord: TypeAlias = Union[
    tuple[str, list[Member]],
    tuple[Literal["user"], str, bytes, int, bool],
    tuple[Literal["query"], int, str, bytes, int],
]
# node, payload of a response | None of an acknowledgement
AnswerRecord: TypeAlias = tuple[str, Optional[bytes]]

# key, value, created, modified, version, session, expires (it has a time to live)
Entry: TypeAlias = tuple[str, bytes, int, int, int, Optional[int], bool]
# entries, more, revision, age of a stale read (None: the agent never heard of a leader, or the read is not stale)
Page: TypeAlias = tuple[list[Entry], bool, int, Optional[float]]
# written, revision (0 if not), the entry as it is if not
Swap: TypeAlias = tuple[bool, int, Optional[Entry]]
# ("exists", key) | ("absent", key) | ("modified" | "modified-after" | "created" | "version", key, number)
# | ("value", key, bytes)
Compare: TypeAlias = tuple[Any, ...]
# ("get", key) | ("put", key, value, ttl | None, session | None) | ("delete", key)
Operation: TypeAlias = tuple[Any, ...]
# ("get", entry | None) | ("put", None) | ("delete", whether it was there)
Outcome: TypeAlias = Union[
    tuple[Literal["get"], Optional[Entry]], tuple[Literal["put"], None], tuple[Literal["delete"], bool]
]

# client, node, session: one of them
Owner: TypeAlias = tuple[Optional[int], Optional[str], Optional[int]]
# hold, token, owner, permits, ttl (None: none), expires (log time; None: never), value
LineHold: TypeAlias = tuple[int, int, Owner, int, Optional[float], Optional[float], bytes]
# capacity, holds, waiting (numbers of waiting calls)
Line: TypeAlias = tuple[int, list[LineHold], list[int]]
# hold, token, expires (log time; None: never)
Grant: TypeAlias = tuple[int, int, Optional[float]]
# raised, waiting, count, members, open
BarrierState: TypeAlias = tuple[bool, int, int, int, bool]
# session, client, ttl, expires (log time), with_client, with_node
SessionInfo: TypeAlias = tuple[int, int, float, float, bool, Optional[str]]
# hold (None: nobody leads), token, value, revision
Leader: TypeAlias = tuple[Optional[int], int, bytes, int]
# length, next, waiting
QueueState: TypeAlias = tuple[int, Optional[bytes], int]

# item, duplicate, pressure
Put: TypeAlias = tuple[int, bool, bool]
# put, claimed, completed, failed, died, lost, released, redriven, cancelled
WorkTotals: TypeAlias = tuple[int, int, int, int, int, int, int, int, int]
# blocked, delayed, ready, claimed, dead, waiting, soft, hard, totals
WorkNumbers: TypeAlias = tuple[int, int, int, int, int, int, int, int, WorkTotals]
# item, state, payload, priority, attempts, put_at (since 1970), deadline (log time; None: never), owner, node, waits_for,
# last_error
WorkInfo: TypeAlias = tuple[
    int, str, bytes, int, int, float, Optional[float], Optional[Owner], Optional[str], list[int], bytes
]
# item, state ("completed", "cancelled"), at (since 1970), attempts, node, result
WorkEnd: TypeAlias = tuple[int, str, float, int, Optional[str], bytes]

# what, scope, key, revision, wall (since 1970), value, version, cause ("" if it has not ended), hold, token, owner, count,
# length, item, state. Fields that `what` does not name are empty: None, 0, "" or b"".
Change: TypeAlias = tuple[
    str, str, str, int, float, bytes, int, str, Optional[int], int, Optional[Owner], int, int, Optional[int], str
]
# ("changes", [change, ...], through) | ("compacted", [], through): changes up to `through` are forgotten, read again
ChangesRecord: TypeAlias = tuple[Literal["changes", "compacted"], list[Change], int]

# id, name, address
Peer: TypeAlias = tuple[str, str, str]
# name, used, limit
Usage: TypeAlias = tuple[str, int, int]
# id, cluster, role, term, leader, quorum, missing, voters, learners, changing, last_log, committed, applied, snapshot,
# purged, compacted, revision, log_time, wall (since 1970), syncs, appended, appended_bytes, stopped, usage
GroupState: TypeAlias = tuple[
    str, str, str, int, Optional[Peer], str, list[Peer], list[Peer], list[Peer], bool, int, int, int, int,
    int, int, int, float, float, int, int, int, str, list[Usage],
]  # fmt: skip
# id, name, address, voter, leader, matching (log index), answered (seconds ago; None: never)
GroupMember: TypeAlias = tuple[str, str, str, bool, bool, int, Optional[float]]

# --- calls --------------------------------------------------------------------------------------------------------------

@final
class Pending(Generic[_T_co]):
    """A call to be made, with `wait` or with `deliver`. Nothing is done before."""

    def wait(self, timeout: Optional[float] = None) -> _T_co:
        """Makes it in this thread, with the interpreter released; Ctrl-C works. On timeout (`Timeout`) or interrupt the
        call is cancelled. Once only."""

    def deliver(self, completions: Completions, future: Any) -> None:
        """Makes it in the background, and has the answer come out of `completions` with `future`, which may be any object.
        Instead of `wait`, once."""

    def cancel(self) -> None:
        """Ends it, if it is not answered. Nothing is delivered then. What it was granted meanwhile is given back."""

@final
class Completions:
    """Answered calls of one event loop."""

    def __new__(cls) -> Completions: ...
    def fileno(self) -> int:
        """Readable when there is something to drain: for `loop.add_reader`."""

    def drain(self) -> list[tuple[Any, bool, Any]]:
        """What was answered since: future, whether it succeeded, value or exception. Never blocks."""

# --- things with a life -------------------------------------------------------------------------------------------------

@final
class Records(Generic[_T]):
    """A stream. Read by one reader at a time."""

    def next_batch(self, most: int) -> Pending[list[_T]]:
        """All records that are there, at least one, at most `most`. Empty at its end. Cancelling it loses none."""

    @property
    def dropped(self) -> int:
        """Records dropped so far because they were not read in time."""

    def close(self) -> Pending[None]:
        """Ends it, here and on the agent. A `next_batch` under way ends empty."""

@final
class Taken:
    """An element on its way to who asked: garbage before it is kept, it is put back."""

    def keep(self) -> bytes:
        """The element, for good."""

@final
class Held:
    """A lock, permits or an office (term). Renewed in the background until it is released, lost or garbage."""

    @property
    def token(self) -> int: ...
    @property
    def hold(self) -> int: ...
    @property
    def is_held(self) -> bool: ...
    def lost(self) -> Pending[str]:
        """Answered when it is lost, with the reason; `Cancelled` when it is released."""

    def release(self) -> Pending[None]:
        """Gives it back. `LeaseLost` if it is not held any more."""

    def proclaim(self, value: bytes) -> Pending[None]:
        """Of a term: says something else to all."""

@final
class Session:
    """A session. Renewed in the background until it is destroyed, lost or garbage; then it ends with its time to live."""

    @property
    def id(self) -> int: ...
    @property
    def is_held(self) -> bool: ...
    def lost(self) -> Pending[str]: ...
    def destroy(self) -> Pending[None]: ...

@final
class Item:
    """A claimed work item. Its lease is kept alive until it is completed, failed, released, lost or garbage."""

    @property
    def id(self) -> int: ...
    @property
    def token(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def priority(self) -> int: ...
    @property
    def attempts(self) -> int: ...
    @property
    def is_held(self) -> bool: ...
    def lost(self) -> Pending[str]: ...
    def complete(self, result: bytes) -> Pending[None]: ...
    def fail(self, reason: bytes, retry_after: float) -> Pending[None]: ...
    def release(self) -> Pending[None]: ...

@final
class Passage:
    """Inside a gate. Garbage, it leaves in the background."""

    def leave(self, wait: Optional[float]) -> Pending[bool]:
        """Leaves, and waits until all have; whether all have."""

# --- the client ---------------------------------------------------------------------------------------------------------

def connect(
    addresses: list[str],
    auth_key: str,
    connect_timeout: float,
    call_timeout: Optional[float],
    reconnect: Optional[float],
    client_ttl: float,
) -> Pending[Core]:
    """Connects to the first of the addresses that answers. `call_timeout` None: Serf's commands wait as long as the
    connection lives, coordination 30 s. `reconnect` None: never."""

def next_notices(seconds: float) -> Optional[list[tuple[int, str]]]:
    """What clients of this process have to say (`logging` level, text): waits for the first, at most so long. For the one
    thread that logs it. None after `end_notices`."""

def end_notices() -> None:
    """Ends `next_notices`, also one that waits: for `atexit`."""

@final
class Core:
    """A client. Safe from many threads."""

    def within(self, call_timeout: Optional[float]) -> Core:
        """The same client (connection, registration), with another time for each call."""

    @property
    def is_closed(self) -> bool: ...
    def close(self) -> Pending[None]:
        """Ends calls under way (`Closed`) and streams, gives back what is held (bounded: 2 s), and closes the connection."""

    # Serf
    def members(self) -> Pending[list[Member]]: ...
    def members_filtered(self, name: str, status: str, tags: Mapping[str, str]) -> Pending[list[Member]]: ...
    def join(self, addresses: Iterable[str], replay: bool) -> Pending[int]: ...
    def leave(self) -> Pending[None]: ...
    def force_leave(self, node: str, prune: bool) -> Pending[None]: ...
    def tags(self, set: Mapping[str, str], delete: Iterable[str]) -> Pending[None]: ...
    def stats(self) -> Pending[dict[str, dict[str, str]]]: ...
    def coordinate(self, node: str) -> Pending[Optional[Coordinate]]: ...
    def handlers(self) -> Pending[tuple[list[Handler], int]]:
        """The handlers, and how many events were dropped before any of them."""

    def add_handler(self, handler: str) -> Pending[None]: ...
    def remove_handler(self, handler: str) -> Pending[None]: ...
    def install_key(self, key: str) -> Pending[KeyAnswer]: ...
    def use_key(self, key: str) -> Pending[KeyAnswer]: ...
    def remove_key(self, key: str) -> Pending[KeyAnswer]: ...
    def list_keys(self) -> Pending[KeyAnswer]: ...
    def event(self, name: str, payload: bytes, coalesce: bool) -> Pending[None]: ...
    def query(
        self,
        name: str,
        payload: bytes,
        nodes: Iterable[str],
        tags: Mapping[str, str],
        ack: bool,
        relay: int,
        timeout: Optional[float],
    ) -> Pending[Records[AnswerRecord]]:
        """`timeout` None: the agent's default for the size of the cluster. Ends at the query's deadline."""

    def respond(self, query: int, payload: bytes) -> Pending[None]: ...
    def stream(self, filter: str) -> Pending[Records[EventRecord]]:
        """Fails with `Closed` when its connection is lost: open another."""

    def monitor(self, level: str) -> Pending[Records[str]]:
        """As `stream`. One per connection."""

    # Keys. `space` "" is all keys, else a dictionary: keys go in and come out without its name.
    def kv_get(self, space: str, key: str, stale: bool) -> Pending[tuple[Optional[Entry], int, Optional[float]]]:
        """Entry, revision, age."""

    def kv_put(
        self, space: str, key: str, value: bytes, ttl: Optional[float], session: Optional[int]
    ) -> Pending[int]: ...
    def kv_compare_and_set(
        self,
        space: str,
        key: str,
        expected: Optional[int],
        value: bytes,
        ttl: Optional[float],
        session: Optional[int],
    ) -> Pending[Swap]: ...
    def kv_delete(self, space: str, key: str) -> Pending[bool]: ...
    def kv_delete_prefix(self, space: str, prefix: str) -> Pending[int]: ...
    def kv_list(
        self, space: str, prefix: str, after: Optional[str], limit: int, stale: bool
    ) -> Pending[Page]: ...
    def kv_list_all(self, space: str, prefix: str, stale: bool) -> Pending[list[Entry]]: ...
    def kv_transaction(
        self, space: str, compares: Iterable[Compare], then: Iterable[Operation], otherwise: Iterable[Operation]
    ) -> Pending[tuple[bool, list[Outcome]]]: ...
    def kv_watch(self, space: str, prefix: str, after: Optional[int]) -> Pending[Records[ChangesRecord]]:
        """Goes on by itself over lost connections. A record is all that happened in one revision, or more."""

    def watch(self, scope: str, prefix: str, after: Optional[int]) -> Pending[Records[ChangesRecord]]:
        """Objects of one kind ("" of all): key, session, lock, semaphore, read-write-lock, election, barrier, counter, set,
        list, queue, priority-queue, work-queue. Keys come out whole."""

    def revision(self) -> Pending[int]: ...

    # Counters, sets, lists, queues
    def counter_get(self, name: str) -> Pending[int]: ...
    def counter_set(self, name: str, value: int) -> Pending[int]: ...
    def counter_add(self, name: str, by: int) -> Pending[int]: ...
    def counter_delete(self, name: str) -> Pending[bool]: ...
    def set_reset(self, name: str, elements: Iterable[bytes]) -> Pending[int]: ...
    def set_add(self, name: str, elements: Iterable[bytes]) -> Pending[int]: ...
    def set_remove(self, name: str, element: bytes) -> Pending[None]: ...
    def set_discard(self, name: str, element: bytes) -> Pending[bool]: ...
    def set_pop(self, name: str) -> Pending[bytes]: ...
    def set_contains(self, name: str, element: bytes) -> Pending[bool]: ...
    def set_length(self, name: str) -> Pending[int]: ...
    def set_elements(self, name: str) -> Pending[list[bytes]]: ...
    def list_reset(self, name: str, elements: Iterable[bytes]) -> Pending[int]: ...
    def list_extend(self, name: str, elements: Iterable[bytes]) -> Pending[int]: ...
    def list_insert(self, name: str, position: int, element: bytes) -> Pending[None]: ...
    def list_set(self, name: str, position: int, element: bytes) -> Pending[None]: ...
    def list_remove(self, name: str, element: bytes) -> Pending[None]: ...
    def list_pop(self, name: str, position: Optional[int]) -> Pending[bytes]: ...
    def list_sort(self, name: str, descending: bool) -> Pending[None]: ...
    def list_get(self, name: str, position: int) -> Pending[Optional[bytes]]: ...
    def list_find(self, name: str, element: bytes) -> Pending[Optional[int]]: ...
    def list_length(self, name: str) -> Pending[int]: ...
    def list_elements(self, name: str) -> Pending[list[bytes]]: ...
    def queue_put(self, name: str, priority: Optional[int], value: bytes, bound: Optional[int]) -> Pending[None]:
        """`priority` None: the queue of this name; a number: the priority queue of this name, lowest first."""

    def queue_get(self, name: str, by_priority: bool, wait: Optional[float]) -> Pending[Optional[Taken]]: ...
    def queue_info(self, name: str, by_priority: bool) -> Pending[QueueState]: ...

    # Locks, elections, barriers, sessions. What depends on a `Session` object, not on its number, knows of its end at once.
    def lock_acquire(
        self, name: str, ttl: Optional[float], session: Union[int, Session, None], wait: Optional[float]
    ) -> Pending[Optional[Held]]: ...
    def semaphore_acquire(
        self,
        name: str,
        capacity: int,
        permits: int,
        ttl: Optional[float],
        session: Union[int, Session, None],
        wait: Optional[float],
    ) -> Pending[Optional[Held]]: ...
    def read_write_acquire(
        self, name: str, write: bool, ttl: Optional[float], session: Union[int, Session, None], wait: Optional[float]
    ) -> Pending[Optional[Held]]: ...
    def lock_info(self, kind: Literal["lock", "semaphore", "read-write"], name: str) -> Pending[Line]: ...
    def lock_acquire_detached(
        self, name: str, ttl: Optional[float], session: Optional[int], wait: Optional[float]
    ) -> Pending[Grant]:
        """Renewed by nobody unless told to. `Busy` if it was not had in time. Either `ttl` or `session` or both."""

    def lock_release(self, name: str, hold: int) -> Pending[None]: ...
    def lock_renew(self, name: str, hold: int, ttl: Optional[float]) -> Pending[Grant]: ...
    def election_campaign(
        self,
        name: str,
        value: bytes,
        ttl: Optional[float],
        session: Union[int, Session, None],
        preferred: bool,
        wait: Optional[float],
    ) -> Pending[Optional[Held]]: ...
    def election_info(self, name: str) -> Pending[Line]: ...
    def election_observe(self, name: str) -> Pending[Records[Leader]]:
        """The leader as it is, then each change; goes on by itself over lost connections."""

    def election_resign(self, name: str, hold: int) -> Pending[None]: ...
    def barrier_raise(self, name: str) -> Pending[None]: ...
    def barrier_lift(self, name: str) -> Pending[None]: ...
    def barrier_wait(self, name: str, wait: Optional[float]) -> Pending[bool]: ...
    def barrier_info(self, name: str) -> Pending[BarrierState]: ...
    def gate_enter(
        self, name: str, count: int, session: Union[int, Session, None], wait: Optional[float]
    ) -> Pending[Optional[Passage]]: ...
    def session(
        self, ttl: Optional[float], with_connection: bool, with_node: Optional[str]
    ) -> Pending[Session]: ...
    def session_create(self, ttl: Optional[float], with_connection: bool, with_node: Optional[str]) -> Pending[int]:
        """Renewed by nobody unless told to."""

    def session_renew(self, session: int) -> Pending[None]: ...
    def session_destroy(self, session: int) -> Pending[None]: ...
    def session_info(self, session: int) -> Pending[SessionInfo]: ...
    def sessions(self) -> Pending[list[SessionInfo]]: ...

    # Work queues
    def work_put(
        self,
        name: str,
        payload: bytes,
        priority: int,
        delay: float,
        dedupe: Optional[str],
        depends_on: Iterable[int],
        max_attempts: int,
        requires: Iterable[str],
        target: Optional[str],
        target_within: Optional[float],
        excluded: Iterable[str],
    ) -> Pending[Put]: ...
    def work_claim(
        self,
        name: str,
        lease: Optional[float],
        most: int,
        capabilities: Iterable[str],
        node: Optional[str],
        session: Union[int, Session, None],
        wait: Optional[float],
    ) -> Pending[list[Item]]: ...
    def work_heartbeat(self, name: str, item: int, token: int) -> Pending[None]: ...
    def work_complete(self, name: str, item: int, token: int, result: bytes) -> Pending[None]: ...
    def work_fail(self, name: str, item: int, token: int, reason: bytes, retry_after: float) -> Pending[None]: ...
    def work_release(self, name: str, item: int, token: int, delay: float) -> Pending[None]: ...
    def work_cancel(self, name: str, item: int) -> Pending[None]: ...
    def work_redrive(self, name: str, item: Optional[int]) -> Pending[int]: ...
    def work_configure(self, name: str, soft: int, hard: int) -> Pending[None]: ...
    def work_forget(self, name: str) -> Pending[None]: ...
    def work_stats(self, name: str) -> Pending[WorkNumbers]: ...
    def work_get(self, name: str, item: int) -> Pending[WorkInfo]: ...
    def work_list(self, name: str, after: int, state: str) -> Pending[list[WorkInfo]]:
        """A page behind item `after` (0: the first), of one state ("" of any). Empty: there is no more."""

    def work_dead(self, name: str) -> Pending[list[WorkInfo]]: ...
    def work_history(self, name: str) -> Pending[list[WorkEnd]]: ...

    # The group
    def group_status(self) -> Pending[GroupState]: ...
    def group_members(self) -> Pending[list[GroupMember]]: ...
    def group_add(self, member: str) -> Pending[None]: ...
    def group_remove(self, member: str) -> Pending[None]: ...
    def group_promote(self, member: str) -> Pending[None]: ...
    def group_demote(self, member: str) -> Pending[None]: ...
    def group_transfer(self, member: Optional[str]) -> Pending[None]: ...
    def group_backup(self) -> Pending[Records[bytes]]: ...
    def group_restore(self, path: str, other_group: bool) -> Pending[int]:
        """Reads the file; the revision the group goes on from."""
