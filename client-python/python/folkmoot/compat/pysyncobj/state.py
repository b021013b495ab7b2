"""What an object's state is, and how it becomes a snapshot and is loaded again.

State are the consumers, and the attributes that were assigned after `SyncObj.__init__`, as in PySyncObj. Of those, a
snapshot has the ones that differ from what the constructor made of them, or that came from a snapshot: one that nobody
changes, such as the node's own name, stays each node's own.
"""

# Untyped by nature: what is in answers, pickles and arguments of programs.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# The modules of this package share what no program is to use.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import logging
import os
import pickle
import time
from collections import OrderedDict
from typing import Any, Dict, Optional, Set, Tuple

from .config import SERIALIZER_STATE, SyncObjConf
from .locks import ReplLockManager
from .replication import SyncObjConsumer

_log = logging.getLogger("folkmoot")


class Snapshots:
    """Snapshots of one object."""

    def __init__(self, owner: Any, conf: SyncObjConf, targets: Dict[Any, SyncObjConsumer]) -> None:
        self.own: Set[str] = set()
        self._owner = owner.__dict__
        self._conf = conf
        self._targets = targets
        #: What the constructor made, pickled.
        self._first: Dict[str, bytes] = {}
        self._loaded: Set[str] = set()
        self._unfit: Set[str] = set()

    def begin(self) -> None:
        """The constructor has ended."""
        self._first = self._attributes()

    def take(self, version: int, nodes: Set[Any], writers: OrderedDict[str, int]) -> Optional[bytes]:
        """The state; None if the program's serializer failed."""
        inner: Dict[str, Any] = {"version": version, "nodes": sorted(map(str, nodes)), "writers": list(writers.items())}
        if self._conf.serializer is not None:
            return self._by_program(inner)
        attributes = self._attributes()
        changed = {name: value for name, value in attributes.items() if value != self._first.get(name)}
        inner["attributes"] = {name: attributes[name] for name in attributes if name in changed or name in self._loaded}
        inner["consumers"] = {key: consumer._serialize() for key, consumer in self._targets.items()}
        return pickle.dumps(inner, 4)

    def load(self, state: bytes, fresh: bool) -> Tuple[int, Set[Any], OrderedDict[str, int]]:
        """Puts a snapshot in the place of the state; code version, other nodes, and the writers' last numbers come out. Unless
        nothing was applied before (`fresh`), what the snapshot leaves out becomes again what the constructor made."""
        if self._conf.deserializer is not None:
            _write(self._conf.fullDumpFile, state)
            inner = self._conf.deserializer(self._conf.fullDumpFile)
        else:
            inner = pickle.loads(state)
            values = dict(inner["attributes"])
            if not fresh:
                there = self._attributes()
                reverted = {name: value for name, value in self._first.items() if there.get(name) != value}
                values = {**reverted, **values}
            for name, value in values.items():
                self._owner[name] = pickle.loads(value)
            self._loaded |= set(inner["attributes"])
            for key, data in inner["consumers"].items():
                if key in self._targets:
                    self._targets[key]._deserialize(data)
        node_class = self._owner["_SyncObj__nodeClass"]
        return inner["version"], {node_class(node) for node in inner["nodes"]}, OrderedDict(inner["writers"])

    def _attributes(self) -> Dict[str, bytes]:
        """Every attribute that can be pickled. The others (threads, files) are the node's own by nature."""
        attributes = {}
        for name, value in list(self._owner.items()):
            if name in self.own or isinstance(value, (SyncObjConsumer, ReplLockManager)):
                continue
            try:
                attributes[name] = pickle.dumps(value, 4)
            except Exception as problem:
                if name not in self._unfit:
                    self._unfit.add(name)
                    _log.info("pysyncobj: %s is no part of snapshots: %s", name, problem)
        return attributes

    def _by_program(self, inner: Dict[str, Any]) -> Optional[bytes]:
        """The state as the program's own serializer writes it."""
        conf, ready = self._conf, SERIALIZER_STATE.SUCCESS
        conf.serializer(conf.fullDumpFile, inner)
        while conf.serializeChecker is not None:
            ready = conf.serializeChecker()
            if ready != SERIALIZER_STATE.SERIALIZING:
                break
            time.sleep(conf.autoTickPeriod)
        if ready == SERIALIZER_STATE.FAILED:
            _log.warning("pysyncobj: the serializer has failed")
            return None
        with open(conf.fullDumpFile, "rb") as file:
            return file.read()


def _write(path: str, content: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(content)
    os.replace(path + ".new", path)
