"""Queues and priority queues. What is taken is gone, whatever becomes of its taker: work queues have leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, TypeVar

from .. import _reading
from ..codecs import Codec
from ..exceptions import Empty
from ..results import QueueState
from ._bridge import complete
from ._common import Coded, at

if TYPE_CHECKING:
    from .._folkmoot import Core

V = TypeVar("V")


class _Taking(Coded[V]):
    """What both kinds have in common."""

    def __init__(self, core: Core, name: str, bound: Optional[int], codec: Codec[V], by_priority: bool) -> None:
        super().__init__(core, name, codec)
        self._bound = bound
        self._by_priority = by_priority

    async def get(self, block: bool = True, timeout: Optional[float] = None) -> V:
        """Takes the next element: waits for one without end, or at most ``timeout`` seconds, or not at all.

        Raises :class:`folkmoot.Empty` (a ``queue.Empty``) if there was none in time.
        """
        wait = timeout if block else 0.0
        taken = await complete(self._core.queue_get(self._name, self._by_priority, wait))
        if taken is None:
            raise Empty(f"empty: nothing in {self._name}", "empty")
        return self._codec.decode(taken.keep())

    async def get_nowait(self) -> V:
        """Takes the next element. Raises :class:`folkmoot.Empty` if there is none."""
        return await self.get(False)

    async def info(self, *, timeout: Optional[float] = None) -> QueueState:
        """How many elements there are, the next one, which stays, and how many calls wait."""
        answer = await complete(at(self._core, timeout).queue_info(self._name, self._by_priority))
        return _reading.queue(answer, self._codec)

    async def qsize(self) -> int:
        """How many elements there are."""
        return (await self.info()).length

    async def empty(self) -> bool:
        """Whether there is none, at this moment."""
        return await self.qsize() == 0

    async def full(self) -> bool:
        """Whether a put of this handle would fail, at this moment."""
        return self._bound is not None and await self.qsize() >= self._bound


class Queue(_Taking[V]):
    """A queue: elements come out as they were put.

    Example::

        queue = moot.queue("jobs", bound=1000)
        await queue.put({"game": 1})
        print(await queue.get(timeout=5.0))
    """

    def __init__(self, core: Core, name: str, bound: Optional[int], codec: Codec[V]) -> None:
        super().__init__(core, name, bound, codec, False)

    async def put(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Adds an element. Raises :class:`folkmoot.Full` (a ``queue.Full``) at once where it would be more than this
        handle's ``bound``, :class:`folkmoot.LimitReached`."""
        data = self._codec.encode(value)
        await complete(at(self._core, timeout).queue_put(self._name, None, data, self._bound))


class PriorityQueue(_Taking[V]):
    """A priority queue: the lowest number comes out first, then as they were put.

    Example::

        queue = moot.priority_queue("jobs")
        await queue.put("later", priority=10)
        await queue.put("soon", priority=1)
        assert await queue.get() == "soon"
    """

    def __init__(self, core: Core, name: str, bound: Optional[int], codec: Codec[V]) -> None:
        super().__init__(core, name, bound, codec, True)

    async def put(self, value: V, priority: int = 0, *, timeout: Optional[float] = None) -> None:
        """Adds an element with a number. Raises as :meth:`Queue.put`."""
        data = self._codec.encode(value)
        await complete(at(self._core, timeout).queue_put(self._name, priority, data, self._bound))
