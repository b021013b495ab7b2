"""Dictionaries, sets and lists of the blocking face: Python's own protocols over what a group keeps.

Each operation asks the agent. What needs several of them (``update``, ``reverse``, slices) is not one step, unless its
documentation says so.
"""

from __future__ import annotations

from typing import (
    AbstractSet,
    Any,
    ItemsView,
    Iterable,
    Iterator,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Tuple,
    TypeVar,
    Union,
    ValuesView,
    cast,
    overload,
)
from typing import List as Listed

from ._sync._collections import DictCalls, ListCalls, SetCalls

V = TypeVar("V")
D = TypeVar("D")
_MISSING: Any = object()


class _Items(ItemsView[str, V]):
    """Read at once, not key by key."""

    _mapping: Dict[V]

    def __iter__(self) -> Iterator[Tuple[str, V]]:
        for entry in self._mapping.entries():
            yield entry.key, entry.value


class _Values(ValuesView[V]):
    """Read at once, not key by key."""

    _mapping: Dict[V]

    def __iter__(self) -> Iterator[V]:
        for entry in self._mapping.entries():
            yield entry.value


class Dict(DictCalls[V], MutableMapping[str, V]):
    """A dictionary that all clients share, with text as keys: a ``MutableMapping``.

    Operations raise :class:`folkmoot.NoQuorum`, :class:`folkmoot.NoGroup`, :class:`folkmoot.Unsupported` and
    :class:`folkmoot.Timeout` where these apply. So do those of :class:`Set` and :class:`List`.

    Example::

        jobs = moot.dict("jobs")
        jobs["a"] = {"node": "n1"}
        print(jobs["a"], "b" in jobs, len(jobs), dict(jobs))
    """

    def __getitem__(self, key: str) -> V:
        found = self.entry(key)
        if found is None:
            raise KeyError(key)
        value: V = found.value
        return value

    def __setitem__(self, key: str, value: V) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and self.entry(key) is not None

    def __iter__(self) -> Iterator[str]:
        for entry in self.entries():
            yield entry.key

    def __len__(self) -> int:
        """How many keys there are, which is counted by reading them."""
        return len(self.entries())

    def items(self) -> ItemsView[str, V]:
        """All keys with their values, in order."""
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """All values, in the order of their keys."""
        return _Values(self)

    @overload
    def pop(self, key: str) -> V: ...
    @overload
    def pop(self, key: str, default: V) -> V: ...
    @overload
    def pop(self, key: str, default: D) -> Union[V, D]: ...
    def pop(self, key: str, default: Any = _MISSING) -> Any:
        """Removes a key and gives its value, to one caller only."""
        found = self.take(key)
        if found is None and default is _MISSING:
            raise KeyError(key)
        return default if found is None else found.value

    def popitem(self) -> Tuple[str, V]:
        """Removes the first key that nobody else takes meanwhile, and gives it with its value."""
        for key in self:
            found = self.take(key)
            if found is not None:
                return key, found.value
        raise KeyError("popitem(): dictionary is empty")

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value; where the key is absent, ``default``, which is put, once."""
        swap = self.compare_and_set(key, None, default)
        return default if swap.entry is None else swap.entry.value


class Set(SetCalls[V], MutableSet[V]):
    """A set that all clients share: a ``MutableSet``. Elements are equal if their bytes are.

    Example::

        gpus = moot.set("gpus")
        gpus.add("n1:0")
        print("n1:0" in gpus, len(gpus), sorted(gpus))
    """

    def __contains__(self, value: object) -> bool:
        element: Any = value
        return self.contains(element)

    def __iter__(self) -> Iterator[V]:
        return iter(self.elements())

    def __len__(self) -> int:
        return self.length()

    def __ior__(self, values: AbstractSet[Any]) -> Set[V]:  # type: ignore[misc]
        self.update(values)
        return self

    @classmethod
    def _from_iterable(cls, values: Iterable[D]) -> set[D]:
        # `moot.set("a") & {...}` is a set of this process.
        return set(values)


class List(ListCalls[V], MutableSequence[V]):
    """A list that all clients share: a ``MutableSequence``. Positions count from the front, or negative from the end.

    Example::

        models = moot.list("models")
        models.append("v1")
        print(models[-1], len(models), list(models))
    """

    @overload
    def __getitem__(self, index: int) -> V: ...
    @overload
    def __getitem__(self, index: slice) -> Listed[V]: ...
    def __getitem__(self, index: Union[int, slice]) -> Union[V, Listed[V]]:
        if isinstance(index, slice):
            return self.elements()[index]
        found = self.get(index, _MISSING)
        if found is _MISSING:
            raise IndexError("list index out of range")
        return cast(V, found)

    @overload
    def __setitem__(self, index: int, value: V) -> None: ...
    @overload
    def __setitem__(self, index: slice, value: Iterable[V]) -> None: ...
    def __setitem__(self, index: Union[int, slice], value: Any) -> None:
        if isinstance(index, slice):
            elements = self.elements()
            elements[index] = value
            self.reset(elements)
        else:
            self.replace(index, value)

    def __delitem__(self, index: Union[int, slice]) -> None:
        if isinstance(index, slice):
            elements = self.elements()
            del elements[index]
            self.reset(elements)
        else:
            self.pop(index)

    def __iter__(self) -> Iterator[V]:
        return iter(self.elements())

    def __len__(self) -> int:
        return self.length()

    def __contains__(self, value: object) -> bool:
        element: Any = value
        return self.find(element) is not None

    def __reversed__(self) -> Iterator[V]:
        return reversed(self.elements())

    def index(self, value: Any, start: int = 0, stop: int = 2**63 - 1) -> int:
        """Where an element first stands, between ``start`` and ``stop``. Raises ``ValueError``."""
        if start == 0 and stop == 2**63 - 1:
            found = self.find(value)
            if found is None:
                raise ValueError(f"{value!r} is not in list")
            return found
        return self.elements().index(value, start, stop)
