"""What calls give back: one immutable named tuple for each kind of answer.

Spans are seconds. *Log time* is the time that passes while the group has a leader, in seconds since it was founded: no
clock can move it. *Wall time* is seconds since 1970, for people. Numbers that name something (revisions, holds, tokens,
items, sessions) are never 0; where there is none, the field is ``None``. Text that is no UTF-8 has surrogate escapes, as
file names have.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Union


class Member(NamedTuple):
    """A member of the cluster, as the agent sees it."""

    name: str
    #: IP address, without port.
    address: str
    #: Gossip port.
    port: int
    tags: Dict[str, str]
    #: ``alive``, ``leaving``, ``left``, ``failed`` or ``none``.
    status: str
    protocol_min: int
    protocol_max: int
    protocol_cur: int
    delegate_min: int
    delegate_max: int
    delegate_cur: int

    @property
    def is_alive(self) -> bool:
        """Whether gossip holds it to be alive."""
        return self.status == "alive"


class MemberEvent(NamedTuple):
    """Members that changed in the same way."""

    #: ``member-join``, ``member-leave``, ``member-failed``, ``member-update`` or ``member-reap``.
    event: str
    #: As they were after the change.
    members: List[Member]


class UserEvent(NamedTuple):
    """A user event that somebody fired."""

    #: ``user``
    event: str
    name: str
    payload: bytes
    #: Lamport time at which it was fired.
    ltime: int
    #: As it was fired: receivers may have been shown only the newest of this name.
    coalesce: bool


class QueryEvent(NamedTuple):
    """A query that somebody asks; :meth:`Client.respond` answers it."""

    #: ``query``
    event: str
    #: For ``respond``, of the client that got it, as long as its connection lives.
    id: int
    name: str
    payload: bytes
    #: Lamport time at which it was asked.
    ltime: int


class Gap(NamedTuple):
    """Events are missing here: read again whatever they would have told."""

    #: ``gap``
    event: str
    #: The connection was lost and there is another: what happened between is not known.
    reconnected: bool
    #: Events dropped since the last gap because they were not read in time.
    dropped: int


#: What a stream brings.
Event = Union[MemberEvent, UserEvent, QueryEvent, Gap]


class Ack(NamedTuple):
    """A node has the query."""

    #: Its name.
    node: str


class Answer(NamedTuple):
    """A node's answer to a query."""

    #: Its name.
    node: str
    payload: bytes


class Coordinate(NamedTuple):
    """A network coordinate, all parts in seconds but ``error``, which has no unit."""

    vec: List[float]
    error: float
    adjustment: float
    height: float

    def distance(self, other: Coordinate) -> float:
        """The round trip to be expected between two nodes, in seconds."""
        way = math.dist(self.vec, other.vec) + self.height + other.height
        adjusted = way + self.adjustment + other.adjustment
        return adjusted if adjusted > 0 else way


class KeyAnswer(NamedTuple):
    """What came of an operation on the cluster's key rings."""

    #: Of ``list_keys``: base64 key to how many nodes have it.
    keys: Dict[str, int]
    #: Node to message, where there is one.
    messages: Dict[str, str]
    #: Nodes asked.
    nodes: int
    #: Nodes that answered.
    answered: int
    #: Nodes that failed.
    failed: int


class Handler(NamedTuple):
    """An event handler of the agent. Numbers count since it is registered."""

    #: As it was written.
    handler: str
    #: ``config`` or ``rpc``.
    source: str
    #: Runs that have ended, failed ones included.
    runs: int
    failures: int
    #: Events not taken because too many waited.
    dropped: int
    #: Events taken whose run has not ended.
    waiting: int


class Handlers(NamedTuple):
    """All event handlers, in the order in which they are run."""

    handlers: List[Handler]
    #: Events dropped for all of them.
    dropped: int


class Entry(NamedTuple):
    """A key as it is stored."""

    key: str
    #: ``bytes``; of a :class:`Dict` the value itself.
    value: Any
    #: Revision of its creation.
    created: int
    #: Revision of its last write, for ``compare_and_set``.
    modified: int
    #: Writes since its creation, which is the first.
    version: int
    #: The session with which it goes.
    session: Optional[int]
    #: Whether it has a time to live.
    expires: bool


class Page(NamedTuple):
    """Some of the keys, in the order of their names."""

    entries: List[Entry]
    #: Whether there are more behind the last one.
    more: bool
    #: The state is that of this revision: a watch after it misses nothing.
    revision: int
    #: Of a stale read: how old it may be; ``None`` if the agent never heard of a leader, and of other reads.
    age: Optional[float]


class Swap(NamedTuple):
    """What came of a compare-and-set."""

    #: Whether it was written.
    written: bool
    #: Of the write; ``None`` if there was none.
    revision: Optional[int]
    #: If it was not written: the key as it is, ``None`` if absent.
    entry: Optional[Entry]


class Outcome(NamedTuple):
    """What a step of a transaction did."""

    #: ``get``, ``put`` or ``delete``.
    verb: str
    #: Of a get: the key, ``None`` if absent.
    entry: Optional[Entry] = None
    #: Of a delete: whether the key was there.
    deleted: bool = False


class Transacted(NamedTuple):
    """What a transaction did."""

    #: Whether all compares held: ``then`` was done, else ``otherwise``.
    succeeded: bool
    #: One for each step that ran.
    outcomes: List[Outcome]


class Owner(NamedTuple):
    """With whose end something ends: one of these."""

    client: Optional[int]
    #: A name of gossip.
    node: Optional[str]
    session: Optional[int]


class Hold(NamedTuple):
    """A hold of a lock, of permits or of an office, as the group has it."""

    hold: int
    #: The fencing token.
    token: int
    owner: Owner
    permits: int
    #: Time to live; ``None``: none.
    ttl: Optional[float]
    #: Log time at which it ends if it is not renewed; ``None``: never.
    expires: Optional[float]
    #: Of an office: what the leader says.
    value: Any


class Line(NamedTuple):
    """Who holds and who waits."""

    #: Permits in all; 0 if nobody holds or waits.
    capacity: int
    #: Longest first.
    holds: List[Hold]
    #: Numbers of those who wait, next first.
    waiting: List[int]


class Leader(NamedTuple):
    """Who leads."""

    #: ``None``: nobody leads.
    hold: Optional[int]
    #: The term: higher than that of every leader before; 0 if nobody leads.
    token: int
    #: What the leader says; ``None`` if nobody leads.
    value: Any
    #: At which revision this became so.
    revision: int


class BarrierState(NamedTuple):
    """The barrier and the gate of one name."""

    #: Whether the barrier is up.
    raised: bool
    #: Calls that wait at the barrier.
    waiting: int
    #: Members the gate waits for; 0 if it is not in use.
    size: int
    #: Members inside the gate.
    members: int
    #: All have entered the gate, and not all have left.
    open: bool


class QueueState(NamedTuple):
    """A queue as it is."""

    length: int
    #: The next element, which stays; ``None`` if there is none.
    next: Any
    #: Calls that wait for an element.
    waiting: int


class SessionInfo(NamedTuple):
    """A session as the group has it."""

    session: int
    #: Who created it.
    client: int
    ttl: float
    #: Log time at which it ends if it is not renewed.
    expires: float
    #: It also ends when its client expires.
    with_client: bool
    #: It also ends when gossip says that this node failed or left.
    with_node: Optional[str]


class Put(NamedTuple):
    """What came of a put into a work queue."""

    #: The item, or the one with the same dedupe key that was there.
    item: int
    #: Whether it was there.
    duplicate: bool
    #: Whether the queue's soft limit is reached: a producer should go slower.
    pressure: bool


class WorkTotals(NamedTuple):
    """How often what happened in a work queue."""

    put: int
    #: Claims.
    claimed: int
    completed: int
    #: Attempts that failed.
    failed: int
    #: Items that used up their attempts.
    died: int
    #: Claims that ended by lease, session, client or node.
    lost: int
    #: Claims given back.
    released: int
    redriven: int
    cancelled: int


class WorkNumbers(NamedTuple):
    """How many items of a work queue are in which state."""

    #: Depend on items that are not completed.
    blocked: int
    delayed: int
    ready: int
    claimed: int
    #: All their attempts have failed.
    dead: int
    #: Calls that wait for an item.
    waiting: int
    #: From so many items on producers are told to go slower.
    soft: int
    #: At so many items puts are refused.
    hard: int
    totals: WorkTotals


class WorkInfo(NamedTuple):
    """An item of a work queue as it is."""

    item: int
    #: ``blocked``, ``delayed``, ``ready``, ``claimed`` or ``dead``.
    state: str
    payload: Any
    priority: int
    #: Attempts that failed.
    attempts: int
    #: Wall time at which it was put.
    put_at: float
    #: Log time at which its state changes by itself; ``None``: never.
    deadline: Optional[float]
    #: Who has it; ``None`` if nobody.
    owner: Optional[Owner]
    #: The node of the worker that has it.
    node: Optional[str]
    #: Items it still depends on.
    waits_for: List[int]
    #: Why the last attempt failed; empty if none did.
    last_error: str


class WorkEnd(NamedTuple):
    """An item that has left a work queue."""

    item: int
    #: ``completed`` or ``cancelled``.
    state: str
    #: Wall time.
    at: float
    #: Attempts that failed.
    attempts: int
    #: The node of the worker that completed it.
    node: Optional[str]
    #: Of the completion; ``None`` of what was cancelled.
    result: Any


class Change(NamedTuple):
    """One change of something that is watched. Which fields mean something, ``what`` says; the others are empty (``None``,
    0, ``""`` or ``b""``)."""

    #: ``put``, ``started``, ``ended``, ``granted``, ``proclaimed``, ``released``, ``opened``, ``closed``, ``count``,
    #: ``length`` or ``item``.
    what: str
    #: Kind of object: ``key``, ``session``, ``lock``, ``semaphore``, ``read-write-lock``, ``election``, ``barrier``,
    #: ``counter``, ``set``, ``list``, ``queue``, ``priority-queue`` or ``work-queue``.
    scope: str
    #: The key, or the object's name.
    key: str
    #: When, in the order of everything. Changes of one step share it.
    revision: int
    #: Wall time.
    wall: float
    #: Of ``put``, of ``granted`` (elections) and ``proclaimed``: bytes; of a ``Dict``'s ``put`` the value itself.
    value: Any
    #: Of ``put``: writes since the key's creation.
    version: int
    #: Of ``ended`` and ``released``: ``removed``, ``expired`` or ``owner-ended``.
    cause: str
    #: Of ``granted``, ``proclaimed`` and ``released``.
    hold: Optional[int]
    #: The same.
    token: int
    #: Of ``granted``.
    owner: Optional[Owner]
    #: Of ``count``: the counter's value.
    counter: int
    #: Of ``length``: elements of the set, list or queue.
    length: int
    #: Of ``item``: its number.
    item: Optional[int]
    #: Of ``item``: its state.
    state: str


class Resync(NamedTuple):
    """Changes up to a revision are forgotten: read the state again. The watch goes on from there."""

    through: int


class Peer(NamedTuple):
    """A member of the Raft group."""

    #: 16 hexadecimal digits.
    id: str
    #: Its name in gossip.
    name: str
    #: Where its Raft port is reached.
    address: str


class Usage(NamedTuple):
    """How much of a limit is used."""

    name: str
    used: int
    #: 0: stated elsewhere.
    limit: int


class GroupStatus(NamedTuple):
    """A member's view of the Raft group."""

    #: The member, 16 hexadecimal digits.
    id: str
    #: The group, 16 hexadecimal digits; empty: none.
    cluster: str
    #: ``outside``, ``learner``, ``follower``, ``candidate``, ``leader`` or ``stopped``.
    role: str
    term: int
    leader: Optional[Peer]
    #: ``ok``, ``lost`` (``missing`` says by whom) or ``none``.
    quorum: str
    #: Voters that do not answer.
    missing: List[Peer]
    voters: List[Peer]
    #: Members without a vote.
    learners: List[Peer]
    #: A change of voters is under way.
    changing: bool
    #: Last entry of the log; as the next four, its index.
    last_log: int
    #: Last entry known to be on a majority.
    committed: int
    #: Last entry in the state.
    applied: int
    #: Last entry in the snapshot; 0: none.
    snapshot: int
    #: Entries up to here are removed from the log.
    purged: int
    #: Changes up to this revision are forgotten.
    compacted: int
    #: Steps that changed something.
    revision: int
    #: Log time of the last entry.
    log_time: float
    #: Wall time of the last entry.
    wall: float
    #: Syncs of the data file since the start.
    syncs: int
    #: Entries written to the log since the start.
    appended: int
    appended_bytes: int
    #: Why the member has stopped; empty if it has not.
    stopped: str
    usage: List[Usage]


class GroupMember(NamedTuple):
    """A member of the Raft group, as the leader sees it."""

    #: 16 hexadecimal digits.
    id: str
    #: Its name in gossip.
    name: str
    #: Where its Raft port is reached.
    address: str
    #: Whether it has a vote.
    voter: bool
    #: Whether it leads.
    leader: bool
    #: Last entry it is known to have on disk.
    matching: int
    #: Seconds since it last answered the leader; ``None`` if it never did.
    answered: Optional[float]


#: Section, key, value.
Stats = Dict[str, Dict[str, str]]

#: An answer to a query, or word that a node has it.
Response = Union[Answer, Ack]
