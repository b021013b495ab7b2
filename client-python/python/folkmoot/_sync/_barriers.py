# Made from folkmoot/aio/_barriers.py by scripts/python-faces. Change that one.
"""Barriers, which are up until they are lifted, and gates, through which a number of members goes together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional, Union

from ..exceptions import Busy
from ..results import BarrierState
from ._bridge import complete
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
        barrier.raise_()
        barrier.lift()
        assert barrier.wait(timeout=5.0)
    """

    def raise_(self, *, timeout: Optional[float] = None) -> None:
        """Puts it up. Raises :class:`folkmoot.Conflict` if it is up."""
        complete(at(self._core, timeout).barrier_raise(self._name))

    def lift(self, *, timeout: Optional[float] = None) -> None:
        """Takes it away and lets all through. Raises :class:`folkmoot.NotFound` if it is not up."""
        complete(at(self._core, timeout).barrier_lift(self._name))

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits until it is away, which may be at once, at most ``timeout`` seconds; whether it is."""
        return complete(self._core.barrier_wait(self._name, timeout))

    def info(self, *, timeout: Optional[float] = None) -> BarrierState:
        """As it is."""
        return BarrierState._make(complete(at(self._core, timeout).barrier_info(self._name)))


class Passage(Leaving):
    """Inside a gate. Leaving its block waits until all have left; an exception leaves at once."""

    def __init__(self, raw: RawPassage, name: str) -> None:
        super().__init__()
        self._raw = raw
        self._name = name

    def leave(self, timeout: Optional[float] = None) -> bool:
        """Leaves, and waits until all have, at most ``timeout`` seconds; whether all have. It has left in any case."""
        self._ended = True
        return complete(self._raw.leave(timeout))

    def __enter__(self) -> Passage:
        return self

    def _leave(self, error: Optional[BaseException]) -> None:
        self.leave(None if error is None else 0.0)

    def __repr__(self) -> str:
        return f"<Passage {self._name!r}>"


class Gate(Named):
    """A gate: all ``count`` members wait until all are there, and again until all have left.

    Example::

        with moot.gate("epoch", 1).enter():
            print("everybody is here")
    """

    def __init__(self, core: Core, name: str, count: int, session: Union[Session, int, None]) -> None:
        super().__init__(core, name)
        self._count = count
        self._session = session

    def enter(self, timeout: Optional[float] = None) -> Passage:
        """Enters, and waits until all have, at most ``timeout`` seconds. Raises :class:`folkmoot.Busy` when they are over,
        and then it has not entered; :class:`folkmoot.Full` if all are there already; :class:`folkmoot.Conflict` if others
        have named another count."""
        return self._enter(timeout)

    def _enter(self, timeout: Optional[float]) -> Passage:
        asked = self._core.gate_enter(self._name, self._count, bond(self._session), timeout)
        raw = complete(asked)
        if raw is None:
            raise Busy(f"timed-out: not all were at {self._name} within {timeout or 0:g} s", "timed-out")
        return Passage(raw, self._name)

    def info(self, *, timeout: Optional[float] = None) -> BarrierState:
        """As it is."""
        return BarrierState._make(complete(at(self._core, timeout).barrier_info(self._name)))
