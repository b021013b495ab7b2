"""Work queues: items with requirements, claimed under a lease by workers that meet them."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Iterable, List, Optional, TypeVar, Union

from .. import _reading
from ..codecs import Codec
from ..exceptions import Empty
from ..results import Put, WorkEnd, WorkInfo, WorkNumbers
from ._bridge import Entering, complete
from ._common import Coded, at, bond
from ._held import Holding

if TYPE_CHECKING:
    from .._folkmoot import Item as RawItem
    from ._sessions import Session

V = TypeVar("V")


class Item(Holding, Generic[V]):
    """An item that this worker has. Its lease is kept alive in the background until it is completed, failed, released, lost
    or garbage.

    Leaving its ``async with`` block completes it; an exception fails it, with the exception as reason, and goes on; what is
    no ``Exception`` (cancellation, Ctrl-C) releases it. If the claim was lost, leaving raises :class:`folkmoot.LeaseLost`.
    """

    def __init__(self, raw: RawItem, codec: Codec[V]) -> None:
        super().__init__(raw)
        self._raw = raw
        self._codec = codec

    @cached_property
    def payload(self) -> V:
        """What to do. Raises what the codec raises for bytes that it cannot read: in a block, that fails the item."""
        return self._codec.decode(self._raw.payload)

    @property
    def id(self) -> int:
        """Its number in the queue."""
        return self._raw.id

    @property
    def token(self) -> int:
        """The claim's token: higher than that of every claim before. Whoever writes somewhere else on the strength of this
        claim passes it on, and the other place refuses lower ones."""
        return self._raw.token

    @property
    def priority(self) -> int:
        """0 to 100."""
        return self._raw.priority

    @property
    def attempts(self) -> int:
        """Attempts that failed before."""
        return self._raw.attempts

    async def complete(self, result: Any = None, *, timeout: Optional[float] = None) -> None:
        """It is done; ``result`` is kept in the history. Raises :class:`folkmoot.LeaseLost` if the claim has ended before,
        :class:`folkmoot.LimitReached`."""
        data = b"" if result is None else self._codec.encode(result)
        self._ended = True
        await complete(self._raw.complete(data), timeout)

    async def fail(self, reason: str = "", retry_after: float = 0.0, *, timeout: Optional[float] = None) -> None:
        """The attempt failed and counts; the next one may begin ``retry_after`` seconds from here on. Raises as
        :meth:`complete`."""
        self._ended = True
        await complete(self._raw.fail(reason.encode(errors="replace"), retry_after), timeout)

    async def release(self, *, timeout: Optional[float] = None) -> None:
        """It goes back as if it had not been claimed. Raises as :meth:`complete`."""
        self._ended = True
        await complete(self._raw.release(), timeout)

    async def __aenter__(self) -> Item[V]:
        return self

    async def _leave(self, error: Optional[BaseException]) -> None:
        if error is None:
            await self.complete()
        elif isinstance(error, Exception):
            await self.fail(f"{type(error).__name__}: {error}"[:1000])
        else:
            await self.release()

    def __repr__(self) -> str:
        return f"<Item {self.id} token={self.token} {'held' if self.is_held else 'ended'}>"


class WorkQueue(Coded[V]):
    """A queue of work. An item is held by at most one worker at a time; it is given out again when the worker is silent for
    its lease, or when gossip says that the worker's node is gone.

    Calls raise :class:`folkmoot.NoQuorum`, :class:`folkmoot.NoGroup`, :class:`folkmoot.Unsupported` and
    :class:`folkmoot.Timeout` where these apply.

    Example::

        work = moot.work_queue("selfplay")
        await work.put({"games": 100}, priority=70, requires=["gpu"])
        async with work.claim(lease=60.0, capabilities=["gpu"]) as item:
            print(item.payload)
    """

    async def put(
        self,
        payload: V,
        *,
        priority: int = 50,
        delay: float = 0.0,
        dedupe: Optional[str] = None,
        depends_on: Iterable[int] = (),
        max_attempts: int = 0,
        requires: Iterable[str] = (),
        target: Optional[str] = None,
        target_within: Optional[float] = None,
        excluded: Iterable[str] = (),
        timeout: Optional[float] = None,
    ) -> Put:
        """Adds an item.

        * ``priority``: 0 to 100, highest first.
        * ``delay``: seconds before it can be claimed.
        * ``dedupe``: while an item with this key is in the queue (dead ones too), another put of it makes none.
        * ``depends_on``: items of this queue that have to be completed before; cancelling one of them cancels this.
        * ``max_attempts``: after which it is dead; 0: never.
        * ``requires``: what its worker has to be capable of.
        * ``target``: the node whose workers get it; ``target_within``: seconds after which others may have it.
        * ``excluded``: nodes whose workers do not get it.

        Raises :class:`folkmoot.Full` at the hard limit, :class:`folkmoot.InvalidRequest`, :class:`folkmoot.LimitReached`.
        """
        answer = at(self._core, timeout).work_put(
            self._name,
            self._codec.encode(payload),
            priority,
            delay,
            dedupe,
            depends_on,
            max_attempts,
            requires,
            target,
            target_within,
            excluded,
        )
        return Put._make(await complete(answer))

    def claim(
        self,
        *,
        lease: float = 60.0,
        capabilities: Iterable[str] = (),
        node: Optional[str] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> Entering[Item[V]]:
        """Takes an item, and waits for one at most ``timeout`` seconds.

        * ``lease``: seconds without a sign of life after which the claim ends. Signs are given in the background.
        * ``capabilities``: what this worker is capable of.
        * ``node``: where it runs: when gossip says that this node is gone, the claim ends.
        * ``session``: with which the claim ends as well.

        Raises :class:`folkmoot.Empty` if there was none in time, :class:`folkmoot.SessionEnded`.
        """
        return Entering(self._claim(lease, capabilities, node, session, timeout))

    async def _claim(
        self,
        lease: float,
        capabilities: Iterable[str],
        node: Optional[str],
        session: Union[Session, int, None],
        timeout: Optional[float],
    ) -> Item[V]:
        items = await self.claim_many(
            1, lease=lease, capabilities=capabilities, node=node, session=session, timeout=timeout
        )
        if not items:
            raise Empty(f"empty: no item of {self._name} within {timeout or 0:g} s", "empty")
        return items[0]

    async def claim_many(
        self,
        most: int,
        *,
        lease: float = 60.0,
        capabilities: Iterable[str] = (),
        node: Optional[str] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> List[Item[V]]:
        """Takes up to ``most`` items, and waits for the first as :meth:`claim`. Empty if there was none in time."""
        answer = self._core.work_claim(self._name, lease, most, capabilities, node, bond(session), timeout)
        return [Item(raw, self._codec) for raw in await complete(answer)]

    async def heartbeat(self, item: int, token: int, *, timeout: Optional[float] = None) -> None:
        """Starts the lease of a claimed item again, whoever claimed it. Raises :class:`folkmoot.LeaseLost`."""
        await complete(at(self._core, timeout).work_heartbeat(self._name, item, token))

    async def complete(self, item: int, token: int, result: Any = None, *, timeout: Optional[float] = None) -> None:
        """A claimed item is done, whoever claimed it. Raises as :meth:`Item.complete`."""
        data = b"" if result is None else self._codec.encode(result)
        await complete(at(self._core, timeout).work_complete(self._name, item, token, data))

    async def fail(
        self, item: int, token: int, reason: str = "", retry_after: float = 0.0, *, timeout: Optional[float] = None
    ) -> None:
        """The attempt at a claimed item failed, whoever claimed it. Raises as :meth:`Item.fail`."""
        text = reason.encode(errors="replace")
        await complete(at(self._core, timeout).work_fail(self._name, item, token, text, retry_after))

    async def release(self, item: int, token: int, delay: float = 0.0, *, timeout: Optional[float] = None) -> None:
        """A claimed item goes back as if it had not been claimed, and can be claimed after ``delay`` seconds."""
        await complete(at(self._core, timeout).work_release(self._name, item, token, delay))

    async def cancel(self, item: int, *, timeout: Optional[float] = None) -> None:
        """Removes an item, whatever its state, and those that depend on it. Raises :class:`folkmoot.NotFound`."""
        await complete(at(self._core, timeout).work_cancel(self._name, item))

    async def redrive(self, item: Optional[int] = None, *, timeout: Optional[float] = None) -> int:
        """Brings a dead item back with no attempts counted; ``None``: all of them, some thousand at a time. How many are
        back. Raises :class:`folkmoot.NotFound`."""
        return await complete(at(self._core, timeout).work_redrive(self._name, item))

    async def configure(self, soft: int, hard: int, *, timeout: Optional[float] = None) -> None:
        """Sets the limits: from ``soft`` items on ``put`` reports pressure, at ``hard`` it raises :class:`folkmoot.Full`.
        Raises :class:`folkmoot.InvalidRequest`."""
        await complete(at(self._core, timeout).work_configure(self._name, soft, hard))

    async def forget(self, *, timeout: Optional[float] = None) -> None:
        """Forgets a queue without items and waiting calls, with its history. Raises :class:`folkmoot.Busy`."""
        await complete(at(self._core, timeout).work_forget(self._name))

    async def stats(self, *, timeout: Optional[float] = None) -> WorkNumbers:
        """How many items are in which state, and what ever happened."""
        return _reading.work_numbers(await complete(at(self._core, timeout).work_stats(self._name)))

    async def get(self, item: int, *, timeout: Optional[float] = None) -> WorkInfo:
        """An item as it is. Raises :class:`folkmoot.NotFound`."""
        return _reading.work_info(await complete(at(self._core, timeout).work_get(self._name, item)), self._codec)

    async def list(self, state: str = "", after: int = 0, *, timeout: Optional[float] = None) -> List[WorkInfo]:
        """A page of items behind the item ``after``, of one state or (``""``) of any. Only an empty one is the last."""
        page = await complete(at(self._core, timeout).work_list(self._name, after, state))
        return [_reading.work_info(raw, self._codec) for raw in page]

    async def dead(self, *, timeout: Optional[float] = None) -> List[WorkInfo]:
        """All dead items, read page by page."""
        found = await complete(at(self._core, timeout).work_dead(self._name))
        return [_reading.work_info(raw, self._codec) for raw in found]

    async def history(self, *, timeout: Optional[float] = None) -> List[WorkEnd]:
        """Items that have left the queue, the latest first."""
        found = await complete(at(self._core, timeout).work_history(self._name))
        return [_reading.work_end(raw, self._codec) for raw in found]
