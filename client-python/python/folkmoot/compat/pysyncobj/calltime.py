"""One time for one call, on every node: what `time.time()` says inside a replicated method.

While a call is applied, `time.time` is a function that gives the call's time to the thread that applies it, and the real
one to all others. Modules that have taken the function out of `time` (`from time import time`) get it put in its place when
a method of theirs is decorated. `datetime.now()`, `time.monotonic()` and `random` are not covered.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Dict, Generator, Optional

_REAL = time.time


class _Moment(threading.local):
    now: Optional[float] = None


_moment = _Moment()
_lock = threading.Lock()
_applying = 0
_before: Callable[[], float] = _REAL


def call_time() -> float:
    """The time of the call that this thread applies, or the real time."""
    # Never by way of `time.time`, which is this function while any thread applies a call.
    return _before() if _moment.now is None else _moment.now


@contextmanager
def at(now: float) -> Generator[None, None, None]:
    """Lets this thread's time stand still at `now`, in seconds since 1970."""
    global _applying, _before
    with _lock:
        if not _applying:
            if time.time is not call_time:
                _before = time.time
            setattr(time, "time", call_time)
        _applying += 1
    outer, _moment.now = _moment.now, now
    try:
        yield
    finally:
        _moment.now = outer
        with _lock:
            _applying -= 1
            if not _applying:
                setattr(time, "time", _before)


def cover(module: Dict[str, Any]) -> None:
    """Puts `call_time` where these globals have the function itself."""
    for name in [name for name, value in module.items() if value is _REAL]:
        module[name] = call_time
