# Made from folkmoot/aio/_held.py by scripts/python-faces. Change that one.
"""What is held until it is given back or lost: locks, permits, offices, sessions, claimed items, places inside gates."""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Any, Optional, Protocol

from ..exceptions import Cancelled, FolkmootError, Timeout
from ._bridge import complete

_log = logging.getLogger("folkmoot")


class _Raw(Protocol):
    @property
    def is_held(self) -> bool: ...
    def lost(self) -> Any: ...


class Leaving:
    """A context manager that gives something back at the end of its block, unless that was done before."""

    def __init__(self) -> None:
        self._ended = False

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self._ended:
            return
        try:
            self._leave(error)
        except FolkmootError as fault:
            if error is None:
                raise
            # The block's own error matters more. What was held ends with its time to live.
            _log.warning("%r was left by %s, and could not be given back: %s", self, type(error).__name__, fault)

    def _leave(self, error: Optional[BaseException]) -> None:
        """Gives it back at the end of a ``with`` block that ended with ``error``."""
        raise NotImplementedError


class Holding(Leaving):
    """Renewed in the background until it is given back or lost."""

    def __init__(self, raw: _Raw) -> None:
        super().__init__()
        self._life = raw

    @property
    def is_held(self) -> bool:
        """Whether it is held, as far as this side knows at this moment. True also to a process that was stopped for a
        while: only a fencing token protects others from that."""
        return not self._ended and self._life.is_held

    def lost(self, timeout: Optional[float] = None) -> Optional[str]:
        """Waits until it is lost, at most ``timeout`` seconds; the reason, or ``None`` if it is still held then, or was given
        back meanwhile."""
        try:
            reason: str = complete(self._life.lost(), timeout)
        except (Cancelled, Timeout):
            return None
        return reason
