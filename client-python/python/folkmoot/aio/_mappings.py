"""Dictionaries, sets, lists and queues for asyncio: Python's names for what they do, awaitable."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Tuple, TypeVar, Union, overload
from typing import List as Listed

from ._collections import DictCalls, ListCalls, SetCalls

V = TypeVar("V")
D = TypeVar("D")
_MISSING: Any = object()


class Dict(DictCalls[V]):
    """A dictionary that all clients share, with text as keys.

    Calls raise :class:`folkmoot.NoQuorum`, :class:`folkmoot.NoGroup`, :class:`folkmoot.Unsupported` and
    :class:`folkmoot.Timeout` where these apply, and take ``timeout``, in seconds, in place of the client's. So do those of
    :class:`Set` and :class:`List`.

    Example::

        jobs = moot.dict("jobs")
        await jobs.put("a", {"node": "n1"})
        print(await jobs.get("a"), await jobs.items())
    """

    @overload
    async def get(self, key: str, *, timeout: Optional[float] = None) -> Optional[V]: ...
    @overload
    async def get(self, key: str, default: D, *, timeout: Optional[float] = None) -> Union[V, D]: ...
    async def get(self, key: str, default: Any = None, *, timeout: Optional[float] = None) -> Any:
        """The value; ``default`` if the key is absent."""
        found = await self.entry(key, timeout=timeout)
        return default if found is None else found.value

    async def pop(self, key: str, default: Any = _MISSING, *, timeout: Optional[float] = None) -> V:
        """Removes a key and gives its value, to one caller only. Raises ``KeyError`` if it is absent, unless there is a
        ``default``."""
        found = await self.take(key, timeout=timeout)
        value: V = default if found is None else found.value
        if value is _MISSING:
            raise KeyError(key)
        return value

    async def setdefault(self, key: str, default: V, *, timeout: Optional[float] = None) -> V:
        """The value; where the key is absent, ``default``, which is put, once."""
        swap = await self.compare_and_set(key, None, default, timeout=timeout)
        value: V = default if swap.entry is None else swap.entry.value
        return value

    async def update(self, values: Mapping[str, V], *, timeout: Optional[float] = None) -> None:
        """Sets these keys, one after the other."""
        for key, value in values.items():
            await self.put(key, value, timeout=timeout)

    async def contains(self, key: str, *, timeout: Optional[float] = None) -> bool:
        """Whether the key is there."""
        return await self.entry(key, timeout=timeout) is not None

    async def keys(self, *, timeout: Optional[float] = None) -> Listed[str]:
        """All keys, in order. See :meth:`entries`."""
        return [entry.key for entry in await self.entries(timeout=timeout)]

    async def values(self, *, timeout: Optional[float] = None) -> Listed[V]:
        """All values, in the order of their keys. See :meth:`entries`."""
        return [entry.value for entry in await self.entries(timeout=timeout)]

    async def items(self, *, timeout: Optional[float] = None) -> Listed[Tuple[str, V]]:
        """All keys with their values, in order. See :meth:`entries`."""
        return [(entry.key, entry.value) for entry in await self.entries(timeout=timeout)]

    async def length(self, *, timeout: Optional[float] = None) -> int:
        """How many keys there are, which is counted by reading them."""
        return len(await self.entries(timeout=timeout))


class Set(SetCalls[V]):
    """A set that all clients share. Elements are equal if their bytes are.

    Example::

        gpus = moot.set("gpus")
        await gpus.add("n1:0")
        print(await gpus.contains("n1:0"), await gpus.elements())
    """


class List(ListCalls[V]):
    """A list that all clients share. Positions count from the front, or negative from the end.

    Example::

        models = moot.list("models")
        await models.append("v1")
        print(await models.get(-1), await models.elements())
    """
