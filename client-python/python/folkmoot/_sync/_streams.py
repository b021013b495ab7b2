# Made from folkmoot/aio/_streams.py by scripts/python-faces. Change that one.
"""Streams: records that keep coming, until they end or are closed. Events, answers, log lines, changes, leaders."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Deque, Generic, Iterator, List, Optional, Tuple, TypeVar, Union

from .. import _reading
from ..codecs import Codec
from ..exceptions import Closed
from ..results import Change, Event, Gap, Leader, Response, Resync
from ._bridge import complete

if TYPE_CHECKING:
    from .._folkmoot import Core, Records

T = TypeVar("T")

#: Records taken out of the extension at once: as many as it keeps for a slow reader.
BATCH = 512


class Stream(Iterator[T], Generic[T]):
    """Records as they come: an iterator, and a context manager that closes it. One reader at a time."""

    def __init__(self, records: Records[Any], read: Optional[Callable[[Any], T]] = None) -> None:
        """``read`` makes a record of what waits when it is handed out; without it, records wait as they are."""
        self._records = records
        self._read = read
        self._ready: Deque[Any] = deque()
        self._closed = False

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        if self._closed or (not self._ready and not self._fill(None)):
            raise StopIteration
        record = self._ready.popleft()
        return record if self._read is None else self._read(record)

    def next(self, timeout: Optional[float] = None) -> Optional[T]:
        """The next record; ``None`` at the end. Waits at most ``timeout`` seconds; nothing is lost when they are over.

        Raises :class:`folkmoot.Timeout` if there was none in time.
        """
        if self._closed or (not self._ready and not self._fill(timeout)):
            return None
        record = self._ready.popleft()
        return record if self._read is None else self._read(record)

    @property
    def dropped(self) -> int:
        """How many records were dropped so far because they were not read in time: at most 512 wait for their reader."""
        return self._records.dropped

    def close(self) -> None:
        """Ends it, here and on the agent: no record is handed out any more, and whoever waits for one is told the end. Closing
        twice does nothing."""
        if not self._closed:
            self._closed = True
            complete(self._records.close())

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def _fill(self, timeout: Optional[float]) -> bool:
        """Waits for records; false at the end."""
        self._ready.extend(self._take(complete(self._records.next_batch(BATCH), timeout)))
        return bool(self._ready)

    def _take(self, batch: List[Any]) -> List[Any]:
        """What is to wait of a batch, which is not empty unless this is the end."""
        return batch


class Events(Stream[Event]):
    """Events as they come, also over a lost connection: see :meth:`Client.stream`."""

    def __init__(self, core: Core, filter: str, records: Records[Any]) -> None:
        super().__init__(records)
        self._core = core
        self._filter = filter
        self._lost = False
        #: Dropped from streams before this one, and how many of all a gap has told of.
        self._before = 0
        self._told = 0

    @property
    def dropped(self) -> int:
        """How many events were dropped so far because they were not read in time: at most 512 wait for their reader."""
        return self._before + self._records.dropped

    def _fill(self, timeout: Optional[float]) -> bool:
        if self.dropped > self._told:
            self._tell(reconnected=False)
            return True
        try:
            if not self._lost:
                return super()._fill(timeout)
        except Closed:
            self._lost = True
        before, self._records = self._records, complete(self._core.stream(self._filter), timeout)
        if self._closed:
            # While another connection was looked for: whoever closed it had the lost one.
            complete(self._records.close())
            return False
        self._before += before.dropped
        self._lost = False
        self._tell(reconnected=True)
        return True

    def _take(self, batch: List[Any]) -> List[Any]:
        return _reading.events(batch)

    def _tell(self, *, reconnected: bool) -> None:
        dropped = self.dropped
        self._ready.append(Gap("gap", reconnected, dropped - self._told))
        self._told = dropped


class Answers(Stream[Response]):
    """The answers to a query, until its deadline: see :meth:`Client.query`."""

    def __init__(self, records: Records[Any]) -> None:
        super().__init__(records, _reading.response)


class Lines(Stream[str]):
    """Lines of the agent's log: see :meth:`Client.monitor`."""

    def __init__(self, records: Records[str]) -> None:
        super().__init__(records)


class Watch(Stream[Union[Change, Resync]]):
    """Changes, each once and in order, also over lost connections: see :meth:`Client.watch` and :meth:`Kv.watch`."""

    def __init__(self, records: Records[Any], codec: Optional[Codec[Any]], after: Optional[int]) -> None:
        super().__init__(records, self._hand_out)
        self._codec = codec
        self._through = after

    @property
    def through(self) -> Optional[int]:
        """Everything up to this revision was handed out: another watch with ``after=watch.through`` goes on from here.
        ``None`` before the first change, if the watch began without ``after``."""
        return self._through

    def _fill(self, timeout: Optional[float]) -> bool:
        batch = complete(self._records.next_batch(BATCH), timeout)
        for kind, changes, through in batch:
            if kind == "compacted":
                self._ready.append((None, through))
            else:
                self._ready.extend((change, None) for change in changes[:-1])
                self._ready.extend((change, through) for change in changes[-1:])
        return bool(batch)

    def _hand_out(self, raw: Tuple[Any, Optional[int]]) -> Union[Change, Resync]:
        change, through = raw
        if through is not None:
            self._through = through
        return Resync(through or 0) if change is None else _reading.change(change, self._codec)


class Leaders(Stream[Leader]):
    """Who leads, as it changes: see :meth:`Election.observe`."""

    def __init__(self, records: Records[Any], codec: Codec[Any]) -> None:
        super().__init__(records, lambda raw: _reading.leader(raw, codec))
