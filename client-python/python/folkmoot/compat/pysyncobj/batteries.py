"""Ready-made objects: counter, list, dict, set, queues, locks. Reads are local; the methods that change something take
`sync=`, `timeout=` and `callback=` as all replicated methods do (see `replicated`), and return None at once without them."""

from __future__ import annotations

import collections
import heapq
import pickle
from typing import Any, Deque, Dict, Iterable, Iterator, List, Optional, Set

from .locks import ReplLockManager
from .replication import SyncObjConsumer, replicated

__all__ = [
    "ReplCounter",
    "ReplDict",
    "ReplList",
    "ReplLockManager",
    "ReplPriorityQueue",
    "ReplQueue",
    "ReplSet",
]


class ReplCounter(SyncObjConsumer):
    """A number."""

    def __init__(self) -> None:
        super().__init__()
        self._value: Any = 0

    @replicated
    def set(self, newValue: Any) -> Any:
        """Sets it; gives the new value."""
        self._value = newValue
        return self._value

    @replicated
    def add(self, value: Any) -> Any:
        """Adds to it; gives the new value."""
        self._value += value
        return self._value

    @replicated
    def sub(self, value: Any) -> Any:
        """Subtracts from it; gives the new value."""
        self._value -= value
        return self._value

    @replicated
    def inc(self) -> Any:
        """Adds one; gives the new value."""
        self._value += 1
        return self._value

    def get(self) -> Any:
        """The value."""
        return self._value


class ReplList(SyncObjConsumer):
    """A list."""

    def __init__(self) -> None:
        super().__init__()
        self._data: List[Any] = []

    @replicated
    def reset(self, newData: List[Any]) -> None:
        """Replaces it by another list."""
        assert isinstance(newData, list)
        self._data = newData

    @replicated
    def set(self, position: int, newValue: Any) -> None:
        """Replaces the element at `position`."""
        self._data[position] = newValue

    @replicated
    def append(self, item: Any) -> None:
        """Puts an element at the end."""
        self._data.append(item)

    @replicated
    def extend(self, other: Iterable[Any]) -> None:
        """Puts elements at the end."""
        self._data.extend(other)

    @replicated
    def insert(self, position: int, element: Any) -> None:
        """Puts an element in front of the one at `position`."""
        self._data.insert(position, element)

    @replicated
    def remove(self, element: Any) -> None:
        """Removes the first such element; `ValueError` if there is none."""
        self._data.remove(element)

    @replicated
    def pop(self, position: Optional[int] = None) -> Any:
        """Removes and gives the element at `position`, or the last; `IndexError` if there is none."""
        return self._data.pop(-1 if position is None else position)

    @replicated
    def sort(self, reverse: bool = False) -> None:
        """Sorts it."""
        self._data.sort(reverse=reverse)

    @replicated
    def __setitem__(self, position: int, element: Any) -> None:
        self._data[position] = element

    def index(self, element: Any) -> int:
        """Where the first such element is; `ValueError` if there is none."""
        return self._data.index(element)

    def count(self, element: Any) -> int:
        """How many such elements there are."""
        return self._data.count(element)

    def get(self, position: int) -> Any:
        """The element at `position`."""
        return self._data[position]

    def __getitem__(self, position: int) -> Any:
        return self._data[position]

    def __len__(self) -> int:
        return len(self._data)

    def rawData(self) -> List[Any]:
        """The list itself, to be read only."""
        return self._data


class ReplDict(SyncObjConsumer):
    """A dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self._data: Dict[Any, Any] = {}

    @replicated
    def reset(self, newData: Dict[Any, Any]) -> None:
        """Replaces it by another dictionary."""
        assert isinstance(newData, dict)
        self._data = newData

    @replicated
    def __setitem__(self, key: Any, value: Any) -> None:
        self._data[key] = value

    @replicated
    def __delitem__(self, key: Any) -> None:
        del self._data[key]

    @replicated
    def set(self, key: Any, value: Any) -> None:
        """Sets a key."""
        self._data[key] = value

    @replicated
    def setdefault(self, key: Any, default: Any) -> Any:
        """The value of a key, which is set to `default` if it is absent."""
        return self._data.setdefault(key, default)

    @replicated
    def update(self, other: Dict[Any, Any]) -> None:
        """Sets all keys of another dictionary."""
        self._data.update(other)

    @replicated
    def pop(self, key: Any, default: Any = None) -> Any:
        """Removes a key; its value, or `default` if it is absent."""
        return self._data.pop(key, default)

    @replicated
    def clear(self) -> None:
        """Removes all keys."""
        self._data.clear()

    def __getitem__(self, key: Any) -> Any:
        return self._data[key]

    def get(self, key: Any, default: Any = None) -> Any:
        """The value of a key, or `default` if it is absent."""
        return self._data.get(key, default)

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, key: object) -> bool:
        return key in self._data

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data)

    def keys(self) -> Any:
        """All keys."""
        return self._data.keys()

    def values(self) -> Any:
        """All values."""
        return self._data.values()

    def items(self) -> Any:
        """All keys with their values."""
        return self._data.items()

    def rawData(self) -> Dict[Any, Any]:
        """The dictionary itself, to be read only."""
        return self._data


class ReplSet(SyncObjConsumer):
    """A set."""

    def __init__(self) -> None:
        super().__init__()
        self._data: Set[Any] = set()

    @replicated
    def reset(self, newData: Set[Any]) -> None:
        """Replaces it by another set."""
        assert isinstance(newData, set)
        self._data = newData

    @replicated
    def add(self, item: Any) -> None:
        """Puts an element into it."""
        self._data.add(item)

    @replicated
    def remove(self, item: Any) -> None:
        """Removes an element; `KeyError` if it is not there."""
        self._data.remove(item)

    @replicated
    def discard(self, item: Any) -> None:
        """Removes an element if it is there."""
        self._data.discard(item)

    @replicated
    def pop(self) -> Any:
        """Removes and gives an element, the same on all nodes; `KeyError` if there is none."""
        if not self._data:
            raise KeyError("pop from an empty set")
        # The order of a set differs between processes; what its elements are pickled to does not.
        item = min(self._data, key=lambda each: pickle.dumps(each, 4))
        self._data.remove(item)
        return item

    @replicated
    def clear(self) -> None:
        """Removes all elements."""
        self._data.clear()

    @replicated
    def update(self, other: Iterable[Any]) -> None:
        """Puts all elements of another one into it."""
        self._data.update(other)

    def rawData(self) -> Set[Any]:
        """The set itself, to be read only."""
        return self._data

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, item: object) -> bool:
        return item in self._data

    def __iter__(self) -> Iterator[Any]:
        return iter(self._data)


class _Queue(SyncObjConsumer):
    """What both queues have in common: a bound (0: none), and elements."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__()
        self._maxsize = maxsize
        self._data: Any = []

    def qsize(self) -> int:
        """How many elements it has."""
        return len(self._data)

    def empty(self) -> bool:
        """Whether it has none."""
        return not self._data

    def full(self) -> bool:
        """Whether it is at its bound."""
        return 0 < self._maxsize <= len(self._data)

    def __len__(self) -> int:
        return len(self._data)


class ReplQueue(_Queue):
    """First in, first out."""

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(maxsize)
        self._data: Deque[Any] = collections.deque()

    @replicated
    def put(self, item: Any) -> bool:
        """Puts an element at the end; whether there was room."""
        if self.full():
            return False
        self._data.append(item)
        return True

    @replicated
    def get(self, default: Any = None) -> Any:
        """Takes the first element; `default` if there is none."""
        return self._data.popleft() if self._data else default


class ReplPriorityQueue(_Queue):
    """Smallest first; elements are compared with each other."""

    @replicated
    def put(self, item: Any) -> bool:
        """Puts an element in; whether there was room."""
        if self.full():
            return False
        heapq.heappush(self._data, item)
        return True

    @replicated
    def get(self, default: Any = None) -> Any:
        """Takes the smallest element; `default` if there is none."""
        return heapq.heappop(self._data) if self._data else default

