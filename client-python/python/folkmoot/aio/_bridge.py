"""How a call of the extension becomes something to await. `folkmoot/_sync/_bridge.py` has the same names and blocks.

Answered calls come out of one queue per event loop, with one wake-up for all that are there.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Coroutine, Generator, Generic, Optional, TypeVar, cast
from weakref import WeakKeyDictionary

from .._folkmoot import Completions
from ..exceptions import Timeout

if TYPE_CHECKING:
    from typing_extensions import ParamSpec

    from .._folkmoot import Pending

    P = ParamSpec("P")

T = TypeVar("T")


class _Inbox:
    """The answers for one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.completions = Completions()
        loop.add_reader(self.completions.fileno(), self._deliver)

    def _deliver(self) -> None:
        for future, succeeded, value in self.completions.drain():
            if future.done():
                continue  # Its awaiter has given up.
            if succeeded:
                future.set_result(value)
            else:
                future.set_exception(value)


_inboxes: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Inbox]" = WeakKeyDictionary()


async def complete(pending: Pending[T], timeout: Optional[float] = None) -> T:
    """The answer. Whoever gives up waiting, or has waited for ``timeout`` seconds, cancels the call."""
    loop = asyncio.get_running_loop()
    inbox = _inboxes.get(loop)
    if inbox is None:
        inbox = _inboxes[loop] = _Inbox(loop)
    future: asyncio.Future[T] = loop.create_future()
    pending.deliver(inbox.completions, future)
    timer = None if timeout is None else loop.call_later(timeout, _expire, future, timeout)
    try:
        return await future
    except (asyncio.CancelledError, Timeout):
        pending.cancel()
        raise
    finally:
        if timer is not None:
            timer.cancel()


def _expire(future: asyncio.Future[Any], timeout: float) -> None:
    if not future.done():
        future.set_exception(Timeout(f"timeout: no answer within {timeout:g} s; whether it was carried out is not known", "timeout"))


async def blocking(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Does what takes a disk's time, in another thread."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *args, **kwargs))


def whose() -> object:
    """Who runs: a key under which a context manager keeps what it has for him."""
    return asyncio.current_task()


C = TypeVar("C", bound="AbstractAsyncContextManager[Any]")


class Entering(Generic[C]):
    """What may be awaited, or entered: both ``x = await this`` and ``async with this as x``."""

    def __init__(self, coroutine: Coroutine[Any, Any, C]) -> None:
        self._coroutine = coroutine
        self._entered: Optional[C] = None

    def __await__(self) -> Generator[Any, Any, C]:
        return self._coroutine.__await__()

    async def __aenter__(self) -> C:
        self._entered = await self._coroutine
        await self._entered.__aenter__()
        return self._entered

    async def __aexit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> Optional[bool]:
        entered, self._entered = self._entered, None
        return None if entered is None else await entered.__aexit__(kind, error, trace)


class Opening(Entering[C], Generic[C, T]):
    """A stream that may be awaited, entered, or read at once with ``async for record in this``."""

    async def __aiter__(self) -> AsyncIterator[T]:
        async with self as stream:
            async for record in cast("AsyncIterator[T]", stream):
                yield record
