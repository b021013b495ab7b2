"""Counters, and what dictionaries, sets and lists have in both faces. `aio/_mappings.py` and `folkmoot/mappings.py` add what
belongs to one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Iterable, List, Optional, TypeVar, Union

from .. import _reading
from ..exceptions import Empty, NotFound
from ..results import Change, Entry, Resync, Swap
from ._bridge import Opening, complete
from ._common import Coded, Named, at, number
from ._streams import Watch

if TYPE_CHECKING:
    from ._sessions import Session

V = TypeVar("V")


class Counter(Named):
    """A counter of 64 bits. One that nobody has set is 0.

    Example::

        games = moot.counter("games")
        print(await games.add(100), await games.get())
    """

    async def get(self, *, timeout: Optional[float] = None) -> int:
        """Its value."""
        return await complete(at(self._core, timeout).counter_get(self._name))

    async def set(self, value: int, *, timeout: Optional[float] = None) -> int:
        """Sets it; the value after. Raises :class:`folkmoot.LimitReached`."""
        return await complete(at(self._core, timeout).counter_set(self._name, value))

    async def add(self, by: int = 1, *, timeout: Optional[float] = None) -> int:
        """Adds to it; the value after. Raises :class:`folkmoot.Overflow`."""
        return await complete(at(self._core, timeout).counter_add(self._name, by))

    async def delete(self, *, timeout: Optional[float] = None) -> bool:
        """Forgets it; whether it was there."""
        return await complete(at(self._core, timeout).counter_delete(self._name))


class DictCalls(Coded[V]):
    """Keys with values: those keys of the group that begin with the dictionary's name and a slash."""

    async def entry(self, key: str, *, timeout: Optional[float] = None) -> Optional[Entry]:
        """The key with its value and revisions; ``None`` if it is absent."""
        found, _, _ = await complete(at(self._core, timeout).kv_get(self._name, key, False))
        return _reading.entry(found, self._codec)

    async def entries(self, *, timeout: Optional[float] = None) -> List[Entry]:
        """All keys, in order, read page by page: not as they were at one moment, if they are written meanwhile."""
        return _reading.entries(await complete(at(self._core, timeout).kv_list_all(self._name, "", False)), self._codec)

    async def put(
        self,
        key: str,
        value: V,
        *,
        ttl: Optional[float] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> int:
        """Sets a key: for ever, for ``ttl`` seconds, or as long as ``session`` lives. Gives the revision. Raises
        :class:`folkmoot.LimitReached`, :class:`folkmoot.SessionEnded`."""
        data = self._codec.encode(value)
        return await complete(at(self._core, timeout).kv_put(self._name, key, data, ttl, number(session)))

    async def delete(self, key: str, *, timeout: Optional[float] = None) -> bool:
        """Removes a key; whether it was there."""
        return await complete(at(self._core, timeout).kv_delete(self._name, key))

    async def take(self, key: str, *, timeout: Optional[float] = None) -> Optional[Entry]:
        """Removes a key and gives what it was: nobody else gets the same. ``None`` if it is absent."""
        while True:
            found = await self.entry(key, timeout=timeout)
            if found is None:
                return None
            core = at(self._core, timeout)
            compares = [("modified", key, found.modified)]
            succeeded, _ = await complete(core.kv_transaction(self._name, compares, [("delete", key)], []))
            if succeeded:
                return found

    async def compare_and_set(
        self,
        key: str,
        expected: Optional[int],
        value: V,
        *,
        ttl: Optional[float] = None,
        session: Union[Session, int, None] = None,
        timeout: Optional[float] = None,
    ) -> Swap:
        """Sets a key if it was last written at revision ``expected``; ``None``: if it is absent. Raises as :meth:`put`."""
        data, bound = self._codec.encode(value), number(session)
        core = at(self._core, timeout)
        answer = core.kv_compare_and_set(self._name, key, expected, data, ttl, bound)
        return _reading.swap(await complete(answer), self._codec)

    async def clear(self, *, timeout: Optional[float] = None) -> None:
        """Removes all keys, some thousand at a time. Keys written meanwhile may stay."""
        await complete(at(self._core, timeout).kv_delete_prefix(self._name, ""))

    def watch(
        self, after: Optional[int] = None, *, timeout: Optional[float] = None
    ) -> Opening[Watch, Union[Change, Resync]]:
        """Changes of its keys after revision ``after``, or from here on, as :meth:`Kv.watch`; values are decoded."""
        return Opening(self._watch(after, timeout))

    async def _watch(self, after: Optional[int], timeout: Optional[float]) -> Watch:
        return Watch(await complete(at(self._core, timeout).kv_watch(self._name, "", after)), self._codec, after)


class SetCalls(Coded[V]):
    """A set. Elements are equal if their bytes are. One without elements does not exist."""

    async def add(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Adds an element. Raises :class:`folkmoot.LimitReached`."""
        await complete(at(self._core, timeout).set_add(self._name, [self._codec.encode(value)]))

    async def update(self, values: Iterable[V], *, timeout: Optional[float] = None) -> int:
        """Adds elements in one step; how many were not there. Raises as :meth:`add`."""
        data = [self._codec.encode(value) for value in values]
        return await complete(at(self._core, timeout).set_add(self._name, data))

    async def reset(self, values: Iterable[V], *, timeout: Optional[float] = None) -> int:
        """Replaces all elements in one step; how many there are. Raises as :meth:`add`."""
        data = [self._codec.encode(value) for value in values]
        return await complete(at(self._core, timeout).set_reset(self._name, data))

    async def remove(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Removes an element. Raises ``KeyError`` if it is not there."""
        try:
            await complete(at(self._core, timeout).set_remove(self._name, self._codec.encode(value)))
        except NotFound as missing:
            raise KeyError(value) from missing

    async def discard(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Removes an element if it is there."""
        await complete(at(self._core, timeout).set_discard(self._name, self._codec.encode(value)))

    async def pop(self, *, timeout: Optional[float] = None) -> V:
        """Takes the first element, by the order of bytes. Raises ``KeyError`` if there is none."""
        try:
            return self._codec.decode(await complete(at(self._core, timeout).set_pop(self._name)))
        except (Empty, NotFound) as missing:
            raise KeyError("pop from an empty set") from missing

    async def contains(self, value: V, *, timeout: Optional[float] = None) -> bool:
        """Whether an element is there."""
        return await complete(at(self._core, timeout).set_contains(self._name, self._codec.encode(value)))

    async def length(self, *, timeout: Optional[float] = None) -> int:
        """How many elements there are."""
        return await complete(at(self._core, timeout).set_length(self._name))

    async def elements(self, *, timeout: Optional[float] = None) -> List[V]:
        """All elements, by the order of bytes, read page by page: not as they were at one moment, if they change meanwhile."""
        found = await complete(at(self._core, timeout).set_elements(self._name))
        return [self._codec.decode(data) for data in found]

    async def clear(self, *, timeout: Optional[float] = None) -> None:
        """Removes all elements in one step."""
        await complete(at(self._core, timeout).set_reset(self._name, []))


class ListCalls(Coded[V]):
    """A list. Positions count from the front, or negative from the end. Elements are equal if their bytes are."""

    async def append(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Adds an element at the end. Raises :class:`folkmoot.LimitReached`, as all that adds."""
        await complete(at(self._core, timeout).list_extend(self._name, [self._codec.encode(value)]))

    async def extend(self, values: Iterable[V], *, timeout: Optional[float] = None) -> None:
        """Adds elements at the end, in one step."""
        data = [self._codec.encode(value) for value in values]
        await complete(at(self._core, timeout).list_extend(self._name, data))

    async def reset(self, values: Iterable[V], *, timeout: Optional[float] = None) -> int:
        """Replaces all elements in one step; how many there are."""
        data = [self._codec.encode(value) for value in values]
        return await complete(at(self._core, timeout).list_reset(self._name, data))

    async def insert(self, index: int, value: V, *, timeout: Optional[float] = None) -> None:
        """Inserts before what stands at ``index``; outside the list: at its nearer end."""
        await complete(at(self._core, timeout).list_insert(self._name, index, self._codec.encode(value)))

    async def replace(self, index: int, value: V, *, timeout: Optional[float] = None) -> None:
        """Replaces the element at ``index``. Raises ``IndexError`` (:class:`folkmoot.OutOfRange`) outside the list."""
        await complete(at(self._core, timeout).list_set(self._name, index, self._codec.encode(value)))

    async def remove(self, value: V, *, timeout: Optional[float] = None) -> None:
        """Removes the first equal element. Raises ``ValueError`` if there is none."""
        try:
            await complete(at(self._core, timeout).list_remove(self._name, self._codec.encode(value)))
        except NotFound as missing:
            raise ValueError(f"{value!r} is not in list") from missing

    async def pop(self, index: int = -1, *, timeout: Optional[float] = None) -> V:
        """Takes the element at ``index``. Raises ``IndexError`` (:class:`folkmoot.OutOfRange`) outside the list."""
        return self._codec.decode(await complete(at(self._core, timeout).list_pop(self._name, index)))

    async def sort(self, *, reverse: bool = False, timeout: Optional[float] = None) -> None:
        """Sorts by bytes, which is not the order of numbers in JSON."""
        await complete(at(self._core, timeout).list_sort(self._name, reverse))

    async def get(self, index: int, default: Optional[V] = None, *, timeout: Optional[float] = None) -> Optional[V]:
        """The element at ``index``; ``default`` outside the list."""
        data = await complete(at(self._core, timeout).list_get(self._name, index))
        return default if data is None else self._codec.decode(data)

    async def find(self, value: V, *, timeout: Optional[float] = None) -> Optional[int]:
        """Where an element first stands; ``None`` if nowhere."""
        return await complete(at(self._core, timeout).list_find(self._name, self._codec.encode(value)))

    async def length(self, *, timeout: Optional[float] = None) -> int:
        """How many elements there are."""
        return await complete(at(self._core, timeout).list_length(self._name))

    async def elements(self, *, timeout: Optional[float] = None) -> List[V]:
        """All elements, read page by page: not as they were at one moment, if they change meanwhile."""
        found = await complete(at(self._core, timeout).list_elements(self._name))
        return [self._codec.decode(data) for data in found]

    async def clear(self, *, timeout: Optional[float] = None) -> None:
        """Removes all elements in one step."""
        await complete(at(self._core, timeout).list_reset(self._name, []))
