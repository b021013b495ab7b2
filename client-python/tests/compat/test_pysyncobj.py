"""PySyncObj's classes over a group of agents."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, List

import pytest

from compat import objects
from compat.objects import NODES, Coordinator, Made, Versioned, jobs
from compat.originals import SyncObj as OriginalObj
from compat.originals import SyncObjConf as OriginalConf
from compat.originals import syncobj as original_module
from waiting import LIMIT_S, eventually
from folkmoot import testing
from folkmoot.compat import pysyncobj as package
from folkmoot.compat.pysyncobj import (
    FAIL_REASON,
    SyncObj,
    SyncObjConf,
    SyncObjConsumer,
    SyncObjException,
    TCPNode,
    calltime,
    replicated,
)
from folkmoot.compat.pysyncobj import syncobj as syncobj_module
from folkmoot.compat.pysyncobj.batteries import ReplCounter, ReplDict, ReplList, ReplLockManager, ReplQueue


def test_the_coordinator_survives_the_death_of_the_leaders_agent() -> None:
    with testing.cluster(nodes=3) as cluster:
        maker = Made(cluster.addresses)
        try:
            # Each program has its own agent first, and goes to the next one when that dies.
            rotated = [cluster.addresses[start:] + cluster.addresses[:start] for start in range(3)]
            three = [maker.make(Coordinator, node, sidecar=rotated[at]) for at, node in enumerate(NODES)]
            for each in three:
                each.waitReady()
            assert three[0].assign_job("a", "job-0", {"games": 100}, sync=True) == 1
            eventually(lambda: all(jobs(each) == jobs(three[0]) != {} for each in three), "all have the first job")
            assert abs(jobs(three[1])["job-0"]["assigned_at"] - time.time()) < LIMIT_S
            assert three[1].locks.tryAcquire("training", sync=True)
            cluster.leader().kill()
            done = []
            for number in range(1, 31):
                done.append(three[number % 3].assign_job("b", "job-%d" % number, {"games": number}, sync=True, timeout=LIMIT_S))
            assert sorted(done) == list(range(2, 32)), "every call was applied once"
            assert three[2].complete_job("job-0", "won", sync=True, timeout=LIMIT_S)["node_id"] == "a"
            expected = {"job-%d" % number for number in range(1, 31)}
            eventually(lambda: all(set(jobs(each)) == expected for each in three), "all have the other jobs")
            assert jobs(three[0]) == jobs(three[1]) == jobs(three[2])
            assert [each.assigned() for each in three] == [31, 31, 31]
            assert [each.node_id for each in three] == NODES
            assert three[0].locks.tryAcquire("training", sync=True) != three[1].locks.isAcquired("training")
            eventually(lambda: sum(each._isLeader() for each in three) == 1, "one of the three leads")
            leader = [each for each in three if each._isLeader()][0]
            eventually(lambda: all(each._getLeader() == leader.selfNode for each in three), "all know who leads")
        finally:
            for each in maker.all:
                each.destroy_synchronous()


def test_calls_of_one_program_are_applied_in_their_order(made: Made) -> None:
    values, order = ReplDict(), ReplList()
    made.make(SyncObj, consumers=[values, order])
    for number in range(500):
        values["last"] = number
        order.append(number)
    assert order.append("end", sync=True, timeout=LIMIT_S) is None
    assert values["last"] == 499 and order.rawData() == [*range(500), "end"]


def test_time_in_a_replicated_method_is_one_and_elsewhere_it_goes_on(made: Made) -> None:
    first = made.make(Coordinator)
    before = time.time()
    through_module, through_name, through_helper = first.times()
    assert before <= through_module == through_name == through_helper <= time.time()
    assert objects.now is calltime.call_time and objects.now() >= through_module
    with calltime.at(5.0):
        elsewhere: List[float] = []
        thread = threading.Thread(target=lambda: elsewhere.append(time.time()))
        thread.start()
        thread.join(LIMIT_S)
        assert time.time() == 5.0 < elsewhere[0]


def test_time_goes_on_in_the_moment_before_the_real_function_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # What another thread meets when the last call has been applied and `time.time` has not been put back.
    monkeypatch.setattr(time, "time", calltime.call_time)
    assert time.time() > 5.0
    with calltime.at(5.0):
        assert time.time() == objects.now() == 5.0
    assert time.time() > 5.0


def test_what_a_method_raises_reaches_its_caller_and_stops_nothing(made: Made) -> None:
    each = made.make(Coordinator)
    with pytest.raises(ValueError, match="as every node sees"):
        each.fail(sync=True, timeout=LIMIT_S)
    told: List[Any] = []
    each.fail(callback=lambda result, reason: told.append((type(result), reason)))
    each.assign_job("a", "j", 1, callback=lambda result, reason: told.append((result, reason)))
    eventually(lambda: len(told) == 2, "both callbacks are called")
    assert told == [(ValueError, FAIL_REASON.REQUEST_DENIED), (1, FAIL_REASON.SUCCESS)]


def test_a_callback_may_wait_for_another_call(made: Made) -> None:
    each, told = made.make(Coordinator), []

    def further(result: Any, _: int) -> None:
        told.append(result)
        if result < 3:
            told.append(("inner", each.assign_job("a", "inner-%d" % result, 1, sync=True, timeout=LIMIT_S)))

    each.assign_job("a", "first", 1, callback=further)
    each.assign_job("a", "second", 1, callback=further)
    eventually(lambda: len(told) == 4, "all callbacks are called")
    assert [each for each in told if isinstance(each, int)][0] == 1 and each.assigned() == 4


def test_the_program_may_tick_itself(made: Made) -> None:
    ready: List[bool] = []
    each = made.make(Coordinator, autoTick=False, onReady=lambda: ready.append(True))
    each.waitReady()
    assert ready == [True] and not each.tick_thread_alive()
    told: List[Any] = []
    each.assign_job("a", "j", 1, callback=lambda result, _: told.append(result))
    while not told:
        each.doTick(0.1)
    assert told == [1] and each.assign_job("a", "k", 1, sync=True, timeout=LIMIT_S) == 2


def test_code_versions_are_switched_for_all_at_once(made: Made) -> None:
    changes: List[Any] = []
    first = made.make(Versioned, NODES[0])
    second = made.make(Versioned, NODES[1], onCodeVersionChanged=lambda old, new: changes.append((old, new)))
    assert first.add(1, sync=True, timeout=LIMIT_S) == 1
    switched: List[Any] = []
    first.setCodeVersion(1, callback=lambda _, reason: switched.append(reason))
    eventually(lambda: changes == [(0, 1)] and switched == [FAIL_REASON.SUCCESS], "both have switched")
    assert second.add(1, sync=True, timeout=LIMIT_S) == 11
    assert (first.getCodeVersion(), second.getStatus()["enabled_code_version"]) == (1, 1)
    with pytest.raises(SyncObjException):
        first.setCodeVersion(2)


def test_a_program_that_lacks_a_method_stops_instead_of_differing(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    class Old(SyncObj):
        pass

    new = made.make(Versioned, NODES[0])
    assert new.add(1, sync=True, timeout=LIMIT_S) == 1
    with caplog.at_level(logging.CRITICAL, "folkmoot"):
        old = made.make(Old, NODES[1])
        eventually(lambda: "cannot carry out" in caplog.text, "it says so")
    assert not old.isReady()


def test_members_are_added_by_name_alone(made: Made) -> None:
    each = made.make(SyncObj, dynamicMembershipChange=True)
    told: List[int] = []
    each.addNodeToCluster("d:4321", lambda _, reason: told.append(reason))
    eventually(lambda: TCPNode("d:4321") in each.otherNodes, "it is added")
    each.removeNodeFromCluster("b:4321", lambda _, reason: told.append(reason))
    eventually(lambda: {node.id for node in each.otherNodes} == {"c:4321", "d:4321"}, "the other is removed")
    eventually(lambda: told == [FAIL_REASON.SUCCESS] * 2, "both are told")
    unnamed = SyncObj("a:1", [], SyncObjConf(dynamicMembershipChange=True, sidecar=made.agents[0]))
    made.all.append(unnamed)
    with pytest.raises(SyncObjException, match="name"):
        unnamed.addNodeToCluster("b:1")
    with pytest.raises(SyncObjException, match="disabled"):
        made.make(SyncObj, NODES[1]).addNodeToCluster("d:4321")


def test_one_program_leads_and_another_follows_it(made: Made) -> None:
    states: List[Any] = []
    first = made.make(SyncObj, NODES[0], onStateChanged=lambda old, new: states.append((old, new)))
    eventually(lambda: first._isLeader() and states == [(0, 2)], "the first leads")
    second = made.make(SyncObj, NODES[1])
    eventually(lambda: second._getLeader() == TCPNode(NODES[0]), "the second knows")
    status = second.getStatus
    eventually(lambda: status()["partner_node_status_server_a:4321"] == 2 and status()["has_quorum"], "it sees the first")
    assert (status()["partner_node_status_server_c:4321"], second.isNodeConnected(NODES[0])) == (0, True)
    told: List[int] = []
    second.transferLeadership(callback=lambda _, reason: told.append(reason))
    assert told == [FAIL_REASON.NOT_LEADER]
    eventually(lambda: first.isNodeConnected(NODES[1]), "the first sees the second")
    first.transferLeadership(NODES[1], callback=lambda _, reason: told.append(reason))
    assert told[1:] == [FAIL_REASON.SUCCESS]
    eventually(lambda: second._isLeader() and not first._isLeader(), "the second leads")
    assert second._getTerm() > 1
    second.destroy_synchronous()
    eventually(first._isLeader, "the first leads again")


def test_locks_are_held_by_one_and_carry_tokens(made: Made) -> None:
    first, second = made.make(Coordinator, NODES[0]), made.make(Coordinator, NODES[1])
    assert first.locks.tryAcquire("training", sync=True) is True
    assert first.locks.tryAcquire("training", sync=True) is True, "who has it, has it"
    assert second.locks.tryAcquire("training", sync=True) is False
    assert (first.locks.isAcquired("training"), second.locks.isAcquired("training")) == (True, False)
    token = first.locks.token("training")
    told: List[Any] = []
    first.locks.release("training", callback=lambda *outcome: told.append(outcome))
    eventually(lambda: told == [(None, FAIL_REASON.SUCCESS)], "it is given back")
    second.locks.tryAcquire("training", callback=lambda *outcome: told.append(outcome))
    eventually(lambda: told[1:] == [(True, FAIL_REASON.SUCCESS)], "the second has it")
    assert second.locks.token("training") > token and first.locks.token("training") is None
    second.locks.destroy()
    eventually(lambda: first.locks.tryAcquire("training", sync=True), "it is free again")
    # What a program held is free when it is gone.
    first.destroy_synchronous()
    eventually(lambda: second.locks.tryAcquire("training", sync=True), "it is free once more")


def test_managers_of_one_holder_share_its_locks(made: Made) -> None:
    mine, same, other = (ReplLockManager(60, selfID=holder) for holder in ("x", "x", "y"))
    made.make(SyncObj, consumers=[mine, same, other])
    assert mine.tryAcquire("lock", sync=True) and same.tryAcquire("lock", sync=True)
    assert not other.tryAcquire("lock", sync=True)
    same.release("lock", sync=True)
    assert not mine.isAcquired("lock") and other.tryAcquire("lock", sync=True)


class Nesting(SyncObj):
    def __init__(self, node: str, others: List[str], conf: SyncObjConf) -> None:
        super().__init__(node, others, conf)
        self.counter, self.locks = ReplCounter(), ReplLockManager(autoUnlockTime=5)

    @replicated
    def twice(self) -> Any:
        told: List[Any] = []
        self.counter.inc(callback=lambda *outcome: told.append(outcome))
        return self.counter.inc(sync=True), told

    @replicated
    def lock(self) -> Any:
        return self.locks.tryAcquire("x", sync=True)


def test_replicated_calls_inside_replicated_methods_are_plain_calls(made: Made) -> None:
    each, second = made.make(Nesting, NODES[0]), made.make(Nesting, NODES[1])
    assert each.twice(sync=True, timeout=LIMIT_S) == (2, [(1, FAIL_REASON.SUCCESS)])
    eventually(lambda: second.counter.get() == 2, "the other has counted as often")
    with pytest.raises(SyncObjException, match="inside a replicated method"):
        each.lock(sync=True, timeout=LIMIT_S)


def test_batteries_that_belong_to_nobody_say_so(made: Made) -> None:
    with pytest.raises(SyncObjException, match="belongs to no SyncObj"):
        ReplCounter().inc()
    with pytest.raises(SyncObjException, match="belong to no SyncObj"):
        ReplLockManager(1).tryAcquire("x")
    each = made.make(Coordinator)
    with pytest.raises(SyncObjException, match="assigned in the constructor"):
        each.late = ReplQueue()
    with pytest.raises(SyncObjException, match="Consumers must be inherited"):
        SyncObj("a:1", [], consumers=[object()])


def test_state_of_consumers_of_ones_own(made: Made) -> None:
    class Log(SyncObjConsumer):
        def __init__(self) -> None:
            super().__init__()
            self.lines: List[str] = []

        @replicated
        def write(self, line: str) -> int:
            self.lines.append(line)
            return len(self.lines)

    first, second = Log(), Log()
    syncobj = made.make(SyncObj, NODES[0], consumers=[first])
    assert first.write("a", sync=True, timeout=LIMIT_S) == 1
    syncobj.forceLogCompaction()
    eventually(lambda: syncobj._getRaftLogSize() == 0, "the snapshot has replaced the call")
    made.make(SyncObj, NODES[1], consumers=[second]).waitReady()
    assert second.lines == ["a"]


def test_without_an_agent_calls_wait_or_fail_as_they_are_told(caplog: pytest.LogCaptureFixture) -> None:
    nowhere = dict(sidecar="127.0.0.1:9", bindRetryTime=0.05)
    counter, told = ReplCounter(), []
    syncobj = SyncObj("a:1", [], SyncObjConf(commandsQueueSize=1, maxBindRetries=2, **nowhere), consumers=[counter])
    with pytest.raises(SyncObjException, match="BindError"):
        syncobj.waitReady()
    with pytest.raises(SyncObjException, match="Timeout"):
        counter.inc(sync=True, timeout=0.05)
    counter.inc(callback=lambda *outcome: told.append(outcome))
    assert told == [(None, FAIL_REASON.QUEUE_FULL)]
    assert not syncobj.hasQuorum and syncobj._getLeader() is None and not syncobj.isReady()
    syncobj.destroy_synchronous()
    counter = ReplCounter()
    syncobj = SyncObj("a:1", [], SyncObjConf(commandsWaitLeader=False, **nowhere), consumers=[counter])
    with pytest.raises(SyncObjException) as caught:
        counter.inc(sync=True, timeout=LIMIT_S)
    assert caught.value.errorCode == FAIL_REASON.MISSING_LEADER
    syncobj.destroy_synchronous()


@pytest.mark.parametrize("ticks", [True, False])
def test_calls_that_wait_for_an_agent_are_told_when_their_object_is_destroyed(ticks: bool) -> None:
    counter, locks, told = ReplCounter(), ReplLockManager(60), []
    conf = SyncObjConf(sidecar="127.0.0.1:9", autoTick=ticks)
    syncobj = SyncObj("a:1", [], conf, consumers=[counter, locks])

    def call(what: Any, *arguments: Any) -> None:
        try:
            what(*arguments, sync=True)
        except SyncObjException as fault:
            told.append(fault.errorCode)

    callers = [threading.Thread(target=call, args=args) for args in ((counter.inc,), (locks.tryAcquire, "x"))]
    for caller in callers:
        caller.start()
    eventually(lambda: syncobj._groupLog()._waiting and syncobj._groupLog()._tasks, "both wait")
    syncobj.destroy()
    for caller in callers:
        caller.join(LIMIT_S)
    assert sorted(told) == [FAIL_REASON.DISCARDED, FAIL_REASON.UNKNOWN_OUTCOME]
    call(counter.inc)
    assert told[2:] == [FAIL_REASON.DISCARDED]
    with pytest.raises(SyncObjException, match="destroyed"):
        syncobj.waitReady()
    syncobj.destroy_synchronous()


def test_a_call_that_was_sent_and_not_applied_is_told_when_its_object_is_destroyed(made: Made) -> None:
    each, told = made.make(Coordinator, autoTick=False), []
    each.waitReady()
    each.assign_job("a", "j", 1, callback=lambda *outcome: told.append(outcome))
    eventually(lambda: each._groupLog().inbox.qsize(), "it comes back, and is not applied")
    each.destroy_synchronous()
    assert told == [(None, FAIL_REASON.UNKNOWN_OUTCOME)]


def test_who_has_a_lock_keeps_it_when_asking_again_takes_too_long(made: Made) -> None:
    locks = made.make(Coordinator).locks
    assert locks.tryAcquire("x", sync=True)
    token = locks.token("x")
    with pytest.raises(SyncObjException, match="Timeout"):
        while locks.tryAcquire("x", sync=True, timeout=0.0):
            pass
    assert locks.tryAcquire("x", sync=True) and locks.token("x") == token


def test_a_state_that_cannot_be_pickled_holds_up_nothing(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    class Unfit(ReplCounter):
        tried = 0

        def _serialize(self) -> Any:
            type(self).tried += 1
            raise TypeError("cannot pickle this")

    counter, ticks = Unfit(), []
    each = made.make(SyncObj, consumers=[counter], logCompactionMinEntries=2)
    eventually(each._isLeader, "it leads")
    each.addOnTickCallback(lambda: ticks.append(1))
    for number in range(1, 11):
        assert counter.inc(sync=True, timeout=LIMIT_S) == number
    eventually(lambda: Unfit.tried and "no snapshot" in caplog.text, "it was tried")
    seen = len(ticks)
    eventually(lambda: len(ticks) > seen + 2, "it goes on")
    assert Unfit.tried == 1, "and is not tried again at each tick"


def test_modules_and_status_have_the_names_of_pysyncobj() -> None:
    for name in ("SyncObj", "SyncObjConf", "SyncObjConsumer", "SyncObjException", "replicated", "replicated_sync"):
        assert hasattr(original_module, name) and getattr(syncobj_module, name) is getattr(package, name)
    original = OriginalObj(None, ["127.0.0.1:9"], conf=OriginalConf(autoTick=False))
    ours = SyncObj(None, ["127.0.0.1:9"], SyncObjConf(autoTick=False, sidecar="127.0.0.1:9"))
    assert original.getStatus().keys() <= ours.getStatus().keys()
    original.destroy()
    ours.destroy_synchronous()


def test_settings_that_do_not_exist_are_refused_with_the_nearest_that_does() -> None:
    with pytest.raises(TypeError, match="did you mean 'autoTickPeriod'"):
        SyncObjConf(autoTickPeriode=1)
    conf = SyncObjConf()
    with pytest.raises(TypeError, match="did you mean 'onReady'"):
        conf.onready = print


def test_every_setting_of_pysyncobj_is_known(caplog: pytest.LogCaptureFixture) -> None:
    theirs = vars(OriginalConf())
    with caplog.at_level(logging.INFO, "folkmoot"):
        conf = SyncObjConf(**theirs)
        assert not caplog.records, "their defaults are ours"
        conf.journalFile = "/tmp/journal"
    assert {name: getattr(conf, name) for name in theirs if name != "journalFile"}.items() <= theirs.items()
    assert "journalFile has nothing to do here" in caplog.text
    conf.validate()
    with pytest.raises(AssertionError):
        SyncObjConf(serializer=print).validate()


def test_where_the_agent_is_comes_from_settings_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERF_RPC_ADDR", raising=False)
    monkeypatch.delenv("SERF_RPC_AUTH", raising=False)
    assert (SyncObjConf().agents(), SyncObjConf().key()) == (["127.0.0.1:7373"], "")
    monkeypatch.setenv("SERF_RPC_ADDR", "10.0.0.1:7373")
    monkeypatch.setenv("SERF_RPC_AUTH", "s3cret")
    assert (SyncObjConf().agents(), SyncObjConf().key()) == (["10.0.0.1:7373"], "s3cret")
    assert SyncObjConf(sidecar=["a:1", "b:1"], sidecarAuthKey="").agents() == ["a:1", "b:1"]
