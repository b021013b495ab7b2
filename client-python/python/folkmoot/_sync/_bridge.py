"""How a call of the extension is waited for: the blocking twin of `folkmoot/aio/_bridge.py`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Callable, Optional, TypeVar

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .._folkmoot import Pending

    P = ParamSpec("P")

T = TypeVar("T")


def complete(pending: Pending[T], timeout: Optional[float] = None) -> T:
    """The answer. Other threads run meanwhile; Ctrl-C, and ``timeout`` seconds, cancel the call."""
    return pending.wait(timeout)


def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does what takes a disk's time."""
    return function(*args, **kwargs)


def whose() -> object:
    """Who runs: a key under which a context manager keeps what it has for him."""
    return threading.get_ident()
