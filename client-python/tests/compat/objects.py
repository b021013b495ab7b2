"""Replicated objects for the tests, and what makes them."""

from __future__ import annotations

import itertools
import time
from time import time as now
from typing import Any, Callable, Dict, List

from waiting import LIMIT_S
from folkmoot.compat.pysyncobj import SyncObj, SyncObjConf, replicated, replicated_sync
from folkmoot.compat.pysyncobj.batteries import ReplDict, ReplLockManager

NAMES = ("object/%d" % number for number in itertools.count())
NODES = ["a:4321", "b:4321", "c:4321"]


class Made:
    """Makes objects, and destroys them after the test."""

    def __init__(self, agents: List[str]) -> None:
        self.agents = agents
        self.all: List[Any] = []
        self.name = next(NAMES)

    def conf(self, **options: Any) -> SyncObjConf:
        options.setdefault("sidecar", self.agents[len(self.all) % len(self.agents)])
        # Far beyond what a machine stands still under load, so that nobody leads less than a test thinks.
        options.setdefault("connectionTimeout", LIMIT_S)
        return SyncObjConf(**dict({"name": self.name}, **options))

    def make(self, kind: Callable[..., Any], node: str = NODES[0], **options: Any) -> Any:
        consumers = options.pop("consumers", None)
        others = [each for each in NODES if each != node]
        made = kind(node, others, self.conf(**options), **({} if consumers is None else {"consumers": consumers}))
        self.all.append(made)
        return made


class Coordinator(SyncObj):
    """As a user of PySyncObj would write it, if batteries without `consumers=` worked there."""

    def __init__(self, self_address: str, partners: List[str], conf: Any = None) -> None:
        super().__init__(self_address, partners, conf)
        self.node_id = self_address
        self.work_queue = ReplDict()
        self.job_assignments = ReplDict()
        self.locks = ReplLockManager(autoUnlockTime=60)
        self.__assigned = 0

    @replicated
    def assign_job(self, node_id: str, job_id: str, spec: Any) -> int:
        self.job_assignments[job_id] = {"node_id": node_id, "spec": spec, "assigned_at": time.time()}
        self.__assigned += 1
        return self.__assigned

    @replicated
    def complete_job(self, job_id: str, result: Any) -> Any:
        return self.job_assignments.pop(job_id, None)

    @replicated_sync(timeout=LIMIT_S)
    def times(self) -> Any:
        return time.time(), now(), helper()

    @replicated
    def fail(self) -> None:
        raise ValueError("as every node sees")

    def assigned(self) -> int:
        return self.__assigned


def helper() -> float:
    return time.time()


def jobs(each: Any) -> Dict[Any, Any]:
    return dict(each.job_assignments.rawData())


class Versioned(SyncObj):
    def __init__(self, node: str, others: List[str], conf: SyncObjConf) -> None:
        super().__init__(node, others, conf)
        self.value = 0

    @replicated
    def add(self, value: int) -> int:
        self.value += value
        return self.value

    @replicated(ver=1)
    def add(self, value: int) -> int:  # noqa: F811 - the version that follows
        self.value += 10 * value
        return self.value
