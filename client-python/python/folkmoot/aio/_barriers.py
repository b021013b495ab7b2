"""Barriers, which are up until they are lifted, and gates, through which a number of members goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

from ..exceptions import Busy
from ..results import BarrierState
from ._bridge import Entering, complete
from ._common import Named, at, bond
from ._held import Leaving

if TYPE_CHECKING:
    from .._folkmoot import Core
    from .._folkmoot import Passage as RawPassage
    from ._sessions import Session


class Barrier(Named):
    """A barrier. It stays up until somebody lifts it.

    Example::

        barrier = moot.barrier("migration")
        await barrier.raise_()
        await barrier.lift()
        assert await barrier.wait(timeout=5.0)
    """

    async def raise_(self, *, timeout: Optional[float] = None) -> None:
        """Puts it up. Raises :class:`folkmoot.Conflict` if it is up."""
        await complete(at(self._core, timeout).barrier_raise(self._name))

    async def lift(self, *, timeout: Optional[float] = None) -> None:
        """Takes it away and lets all through. Raises :class:`folkmoot.NotFound` if it is not up."""
        await complete(at(self._core, timeout).barrier_lift(self._name))

    async def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is away, which may be at once, at most ``timeout`` seconds; whether it is."""
        return await complete(self._core.barrier_wait(self._name, timeout))

    async def info(self, *, timeout: Optional[float] = None) -> BarrierState:
        """As it is."""
        return BarrierState._make(await complete(at(self._core, timeout).barrier_info(self._name)))


class Passage(Leaving):
    """Inside a gate. Leaving its block waits until all have left; an exception leaves at once."""

    def __init__(self, raw: RawPassage, name: str) -> None:
        super().__init__()
        self._raw = raw
        self._name = name

    async def leave(self, timeout: Optional[float] = None) -> bool:
        """Leaves, and waits until all have, at most ``timeout`` seconds; whether all have. It has left in any case."""
        self._ended = True
        return await complete(self._raw.leave(timeout))

    async def __aenter__(self) -> Passage:
        return self

    async def _leave(self, error: Optional[BaseException]) -> None:
        await self.leave(None if error is None else 0.0)

    def __repr__(self) -> str:
        return f"<Passage {self._name!r}>"


class Gate(Named):
    """A gate: all ``count`` members wait until all are there, and again until all have left.

    Example::

        async with moot.gate("epoch", 1).enter():
            print("everybody is here")
    """

    def __init__(self, core: Core, name: str, count: int, session: Union[Session, int, None]) -> None:
        super().__init__(core, name)
        self._count = count
        self._session = session

    def enter(self, timeout: Optional[float] = None) -> Entering[Passage]:
        """Enters, and waits until all have, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are over,
        and then it has not entered; :class:`folkmoot.Full` if all are there already; :class:`folkmoot.Conflict` if others
        have named another count."""
        return Entering(self._enter(timeout))

    async def _enter(self, timeout: Optional[float]) -> Passage:
        asked = self._core.gate_enter(self._name, self._count, bond(self._session), timeout)
        raw = await complete(asked)
        if raw is None:
            raise Busy(f"timed-out: not all were at {self._name} within {timeout or 0:g} s", "timed-out")
        return Passage(raw, self._name)

    async def info(self, *, timeout: Optional[float] = None) -> BarrierState:
        """As it is."""
        return BarrierState._make(await complete(at(self._core, timeout).barrier_info(self._name)))
