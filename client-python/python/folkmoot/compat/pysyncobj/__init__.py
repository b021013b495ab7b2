"""PySyncObj 0.3's classes, with the state in the group of agents: change the import, keep the program.

Each node runs its program beside its agent. Replicated calls go into one log that the group keeps; every program applies
them, in the same order, to its own objects. So reads are local, as in PySyncObj, and the cluster is the agents' concern:
no ports of its own, no journal, nothing lost when all programs stop at once.

>>> from folkmoot.compat.pysyncobj import SyncObj, SyncObjConf, replicated
>>> class Counter(SyncObj):
...     def __init__(self, address, partners, conf):
...         super().__init__(address, partners, conf)
...         self.__value = 0
...     @replicated
...     def add(self, by):
...         self.__value += by
...         return self.__value
>>> counter = Counter('a:4321', ['b:4321'], SyncObjConf(sidecar=agent + ':7373'))
>>> counter.add(5, sync=True)
5
>>> counter.destroy()

Calls are pickled: whoever may write into the group can run code in these programs, as with PySyncObj.
"""

from .config import FAIL_REASON, SERIALIZER_STATE, SyncObjConf
from .errors import SyncObjException, SyncObjExceptionWrongVer
from .node import Node, TCPNode
from .replication import SyncObjConsumer, replicated, replicated_sync
from .syncobj import SyncObj

__all__ = [
    "FAIL_REASON",
    "SERIALIZER_STATE",
    "Node",
    "SyncObj",
    "SyncObjConf",
    "SyncObjConsumer",
    "SyncObjException",
    "SyncObjExceptionWrongVer",
    "TCPNode",
    "replicated",
    "replicated_sync",
]
