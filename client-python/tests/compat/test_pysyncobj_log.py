"""The log of calls: snapshots, newcomers, those who fall behind, entries that come twice."""

from __future__ import annotations

import json
import pickle
from typing import Any, List
from urllib.parse import quote

import pytest

import folkmoot
from compat.objects import NODES, Coordinator, Made, Versioned, jobs
from waiting import LIMIT_S, eventually
from folkmoot.compat.pysyncobj import FAIL_REASON, SERIALIZER_STATE, SyncObj, SyncObjConf, SyncObjException, replicated
from folkmoot.compat.pysyncobj.log import Loaded


def test_a_newcomer_starts_from_a_snapshot_and_keeps_what_is_its_own(made: Made) -> None:
    first = made.make(Coordinator, NODES[0])
    for number in range(50):
        first.assign_job("a", number, "x" * number)
    large = "y" * 2_500_000
    first.work_queue.set("large", large, sync=True, timeout=LIMIT_S)
    first.forceLogCompaction()
    eventually(lambda: first._getRaftLogSize() == 0, "the snapshot has replaced the calls")
    first.assign_job("a", "after", 1, sync=True, timeout=LIMIT_S)
    second = made.make(Coordinator, NODES[1])
    second.waitReady()
    assert jobs(second) == jobs(first) and second.assigned() == 51
    assert (second.node_id, second.work_queue["large"]) == (NODES[1], large)
    with folkmoot.connect(*made.agents) as moot:
        prefix = "pysyncobj/%s/" % quote(made.name, safe="")

        def stored(below: str) -> int:
            return len(moot.kv.list_all(prefix + below))

        assert stored("snapshot") == 1 and stored("states/") >= 3
        eventually(lambda: not stored("large/"), "what the snapshot covers is gone from the group")
    assert second.assign_job("b", "later", 1, sync=True, timeout=LIMIT_S) == 52
    second.forceLogCompaction()
    eventually(lambda: first._getRaftLogSize() == 0 and second._getRaftLogSize() == 0, "a second snapshot follows")
    third = made.make(Coordinator, NODES[2])
    third.waitReady()
    assert jobs(third) == jobs(first) and third.assigned() == 52 and third.node_id == NODES[2]


def test_snapshots_are_made_by_themselves(made: Made) -> None:
    each = made.make(Coordinator, logCompactionMinEntries=10)
    eventually(each._isLeader, "it leads")
    for number in range(100):
        each.assign_job("a", number, 1, sync=True, timeout=LIMIT_S)
    eventually(lambda: each._getRaftLogSize() <= 11, "calls are replaced by snapshots")
    assert each.assigned() == 100


class Recorder(SyncObj):
    """Writes its state itself."""

    def __init__(self, node: str, others: List[str], conf: SyncObjConf) -> None:
        super().__init__(node, others, conf)
        self.lines: List[str] = []

    @replicated
    def add(self, line: str) -> int:
        self.lines.append(line)
        return len(self.lines)


def test_programs_may_write_their_snapshots_themselves(made: Made, tmp_path: Any) -> None:
    holder: List[Any] = []
    states = iter([SERIALIZER_STATE.SERIALIZING, SERIALIZER_STATE.SUCCESS])

    def write(path: str, inner: Any) -> None:
        with open(path, "wb") as file:
            pickle.dump((inner, holder[-1].lines), file)

    def read(path: str) -> Any:
        with open(path, "rb") as file:
            inner, lines = pickle.load(file)
        loaded.append(lines)
        return inner

    loaded: List[Any] = []
    options = dict(serializer=write, deserializer=read, serializeChecker=lambda: next(states))
    holder.append(made.make(Recorder, NODES[0], fullDumpFile=str(tmp_path / "a"), **options))
    holder[0].add("one", sync=True, timeout=LIMIT_S)
    holder[0].forceLogCompaction()
    eventually(lambda: holder[0]._getRaftLogSize() == 0, "the snapshot has replaced the calls")
    second = made.make(Recorder, NODES[1], fullDumpFile=str(tmp_path / "b"), **options)
    second.waitReady()
    assert loaded == [["one"]]


def test_calls_of_a_program_that_stopped_are_not_waited_for(made: Made) -> None:
    class Young(Versioned):
        @replicated
        def further(self) -> int:
            return self.add(5)

    old = made.make(Versioned, NODES[0], autoTick=False)
    old.waitReady()
    young = made.make(Young, NODES[1])
    young.waitReady()
    assert young.further(sync=True, timeout=LIMIT_S) == 5
    told: List[Any] = []
    old.add(1, callback=lambda *outcome: told.append(outcome))
    eventually(lambda: young.value == 6, "its call is in the log behind one that it does not know")
    eventually(lambda: old._groupLog().inbox.qsize() >= 2, "both have come")
    old.doTick()
    assert told == [(None, FAIL_REASON.UNKNOWN_OUTCOME)] and old.value == 0
    with pytest.raises(SyncObjException, match="cannot carry out"):
        old.add(1)
    with pytest.raises(SyncObjException, match="cannot carry out"):
        old.waitReady()


def test_who_falls_behind_the_groups_history_takes_the_snapshot(made: Made) -> None:
    first = made.make(Coordinator, NODES[0])
    slow = made.make(Coordinator, NODES[1], autoTick=False)
    slow.waitReady()
    first.assign_job("a", "early", 1, sync=True, timeout=LIMIT_S)
    eventually(lambda: slow.doTick(0.1) or slow.assigned() == 1, "the slow one has the first job")
    told: List[Any] = []
    slow.assign_job("b", "late", 1, callback=lambda *outcome: told.append(outcome))
    slow.work_queue.set("key", "value")
    eventually(lambda: first.assigned() == 2 and "key" in first.work_queue, "the first has the others")
    leave_behind(made, first, slow, entries=2)
    assert told == [(None, FAIL_REASON.UNKNOWN_OUTCOME)]
    assert (slow.assigned(), jobs(slow), slow.node_id) == (2, jobs(first), NODES[1])
    assert slow.work_queue["key"] == "value"
    # An older picture changes nothing, and the next call is applied behind the snapshot.
    slow._groupLog().inbox.put(Loaded(None, 0, [], []))
    assert slow.assign_job("b", "next", 1, sync=True, timeout=LIMIT_S) == 3


def leave_behind(made: Made, first: Any, slow: Any, entries: int) -> None:
    """Has `first` make a snapshot, and `slow` load it in the place of what it has not applied: as if it had been away for
    longer than the group remembers changes."""
    first.forceLogCompaction()
    eventually(lambda: first._getRaftLogSize() == 0, "the snapshot has replaced the calls")
    inbox = slow._groupLog().inbox
    eventually(lambda: inbox.qsize() >= entries, "they have come to the slow one")
    while not inbox.empty():
        inbox.get_nowait()
    with folkmoot.connect(*made.agents) as moot:
        prefix = "pysyncobj/%s/" % quote(made.name, safe="")
        identity, parts, through = json.loads(moot.kv.get(prefix + "snapshot").value)
        assert parts == 1
        inbox.put(Loaded(moot.kv.get(prefix + "states/%s/000000" % identity).value, through, [], []))
    slow.doTick()


def test_what_is_again_as_it_was_made_is_so_for_who_fell_behind(made: Made) -> None:
    first = made.make(Versioned, NODES[0])
    slow = made.make(Versioned, NODES[1], autoTick=False)
    slow.waitReady()
    first.add(1, sync=True, timeout=LIMIT_S)
    eventually(lambda: slow.doTick(0.1) or slow.value == 1, "the slow one has the first call")
    first.add(-1, sync=True, timeout=LIMIT_S)
    leave_behind(made, first, slow, entries=1)
    assert slow.value == 0


def test_an_entry_that_was_written_twice_counts_once(made: Made) -> None:
    each = made.make(Coordinator)
    assert each.assign_job("a", "j", 1, sync=True, timeout=LIMIT_S) == 1
    with folkmoot.connect(*made.agents) as moot:
        prefix = "pysyncobj/%s/calls/" % quote(made.name, safe="")
        (entry,) = moot.kv.list_all(prefix)
        # A snapshot has removed it, and an attempt that was given up arrives late.
        moot.kv.delete(entry.key)
        moot.kv.put(entry.key, entry.value)
    assert each.assign_job("a", "k", 1, sync=True, timeout=LIMIT_S) == 2
    assert each.assigned() == 2
