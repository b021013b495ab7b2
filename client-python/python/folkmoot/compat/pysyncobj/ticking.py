"""The thread that applies what has come for an object, and the end of the process for all objects."""

from __future__ import annotations

import atexit
import logging
import weakref
from typing import Any, Callable, Optional

_log = logging.getLogger("folkmoot")

#: Objects that are neither destroyed nor garbage.
LIVE: weakref.WeakSet[Any] = weakref.WeakSet()


def tick_for_ever(me: Callable[[], Optional[Any]]) -> None:
    """Ticks every `autoTickPeriod`, or when something comes. It ends with the object, which nothing here keeps alive."""
    while True:
        tick = me()
        if tick is None:
            return
        if tick._isDestroyed():
            tick._farewell()
            return
        try:
            tick._onTick(tick._getConf().autoTickPeriod)
        except Exception:
            _log.exception("pysyncobj: the tick raised")
        del tick


@atexit.register
def _destroy_all() -> None:
    for each in list(LIVE):
        each.destroy_synchronous()
