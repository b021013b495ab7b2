"""Settings: PySyncObj's, of which each either does here what it did there or is said to have nothing to do, and three more."""

from __future__ import annotations

import difflib
import logging
import os
from typing import Any, Dict, List, NamedTuple, Optional, Union

_log = logging.getLogger("folkmoot")


class FAIL_REASON:
    """Why a call was not applied, as callbacks are told it."""

    #: It was applied.
    SUCCESS = 0
    #: `commandsQueueSize` calls wait already.
    QUEUE_FULL = 1
    #: No agent or no quorum, and `commandsWaitLeader` is off. Nothing was done.
    MISSING_LEADER = 2
    #: The object was destroyed before the call was sent. Nothing was done.
    DISCARDED = 3
    #: `transferLeadership` of a program that does not lead.
    NOT_LEADER = 4
    #: PySyncObj's; does not occur.
    LEADER_CHANGED = 5
    #: The group refuses it (too large, storage full), or the method raised, and the exception is the result.
    REQUEST_DENIED = 6
    #: It may have been applied, and may not.
    UNKNOWN_OUTCOME = 7


class SERIALIZER_STATE:
    """How far a `serializer` is, as `serializeChecker` says it."""

    NOT_SERIALIZING = 0
    SERIALIZING = 1
    SUCCESS = 2
    FAILED = 3


class _Option(NamedTuple):
    default: Any
    #: Why it has no effect; empty if it has one.
    idle: str = ""


_RAFT = "the agents elect their leader among themselves"
_NETWORK = "there is one connection, to the agent"
_DISK = "the agents keep the log and its snapshots on their disks"

_OPTIONS: Dict[str, _Option] = {
    # Which object this is: programs with the same name share it. None: the addresses of all its nodes, in order.
    "name": _Option(None),
    # RPC address of the agent, or several. None: SERF_RPC_ADDR, else 127.0.0.1:7373.
    "sidecar": _Option(None),
    # Key of the agent. None: SERF_RPC_AUTH, else none.
    "sidecarAuthKey": _Option(None),
    # Off: the program calls doTick, in which everything is applied and all callbacks are made.
    "autoTick": _Option(True),
    # Seconds between two rounds of the tick thread while nothing comes.
    "autoTickPeriod": _Option(0.05),
    # Calls that may wait to be sent.
    "commandsQueueSize": _Option(100000),
    # Off: calls fail with MISSING_LEADER while there is no agent or no quorum, instead of waiting.
    "commandsWaitLeader": _Option(True),
    # Off: each call is an entry of the log by itself.
    "appendEntriesUseBatch": _Option(True),
    # Bytes of calls that are sent as one entry of the log.
    "appendEntriesBatchSizeBytes": _Option(2**16),
    # Seconds of silence after which this program counts as gone: it leads no more, and partners see it disconnected.
    "connectionTimeout": _Option(3.5),
    # Seconds for which a call looks for an agent when the connection was lost, before it counts as failed.
    "connectionRetryTime": _Option(5.0),
    # Seconds between attempts to reach the agent at the start, and how many there are; 0: without end.
    "bindRetryTime": _Option(1.0),
    "maxBindRetries": _Option(0),
    # Calls, or seconds, after which the leading program puts a snapshot in the place of the calls that it holds.
    "logCompactionMinEntries": _Option(5000),
    "logCompactionMinTime": _Option(300),
    # With serializer and deserializer: the file that they write and read.
    "fullDumpFile": _Option(None),
    "serializer": _Option(None),
    "serializeChecker": _Option(None),
    "deserializer": _Option(None),
    "dynamicMembershipChange": _Option(False),
    "onReady": _Option(None),
    "onStateChanged": _Option(None),
    "onCodeVersionChanged": _Option(None),
    "password": _Option(None, "agents encrypt gossip with -encrypt, and the group with that or with -raft-tls-cert"),
    "raftMinTimeout": _Option(0.4, _RAFT),
    "raftMaxTimeout": _Option(1.4, _RAFT),
    "appendEntriesPeriod": _Option(0.1, _RAFT),
    "leaderFallbackTimeout": _Option(30.0, _RAFT),
    "bindAddress": _Option(None, "this program listens on nothing"),
    "preferredAddrType": _Option("ipv4", _NETWORK),
    "sendBufferSize": _Option(2**16, _NETWORK),
    "recvBufferSize": _Option(2**16, _NETWORK),
    "dnsCacheTime": _Option(600.0, _NETWORK),
    "dnsFailCacheTime": _Option(30.0, _NETWORK),
    "pollerType": _Option("auto", _NETWORK),
    "tcp_keepalive": _Option((16, 3, 5), _NETWORK),
    "logCompactionSplit": _Option(False, "one program makes the snapshots"),
    "logCompactionBatchSize": _Option(2**16, "snapshots travel through the group"),
    "journalFile": _Option(None, _DISK),
    "useFork": _Option(True, _DISK),
}

_POSITIVE = (
    "autoTickPeriod appendEntriesBatchSizeBytes connectionTimeout bindRetryTime logCompactionMinTime".split()
)


class SyncObjConf:
    """Settings by name. Unknown ones are refused. The README of PySyncObj describes most; docs/migrating/pysyncobj.md says
    what each does here.

    >>> SyncObjConf(autotick=False)
    Traceback (most recent call last):
    TypeError: SyncObjConf has no option 'autotick'; did you mean 'autoTick'?
    """

    def __init__(self, **kwargs: Any) -> None:
        for name, option in _OPTIONS.items():
            self.__dict__[name] = option.default
        for name, value in kwargs.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        option = _OPTIONS.get(name)
        if option is None:
            near = difflib.get_close_matches(name.lower(), [known.lower() for known in _OPTIONS], 1, 0.0)
            nearest = [known for known in _OPTIONS if known.lower() == near[0]][0]
            raise TypeError("SyncObjConf has no option %r; did you mean %r?" % (name, nearest))
        if option.idle and value != option.default:
            _log.info("SyncObjConf: %s has nothing to do here: %s", name, option.idle)
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Any:
        # For those who check types: what is there is found before this is asked.
        raise AttributeError(name)

    def validate(self) -> None:
        """Refuses values that make no sense, with `AssertionError`."""
        for name in _POSITIVE:
            assert getattr(self, name) > 0, name
        assert self.commandsQueueSize >= 0 and self.maxBindRetries >= 0 and self.connectionRetryTime >= 0
        assert self.logCompactionMinEntries >= 2, "logCompactionMinEntries"
        assert (self.deserializer is None) == (self.serializer is None), "serializer and deserializer go together"
        assert self.serializer is None or self.fullDumpFile is not None, "a serializer needs fullDumpFile"

    def agents(self) -> List[str]:
        """RPC addresses of the agents."""
        named: Union[str, List[str], None] = self.sidecar
        if named is None:
            return [os.environ.get("SERF_RPC_ADDR") or "127.0.0.1:7373"]
        return [named] if isinstance(named, str) else list(named)

    def key(self) -> str:
        """The agents' key; empty for none."""
        key: Optional[str] = self.sidecarAuthKey
        return os.environ.get("SERF_RPC_AUTH", "") if key is None else key
