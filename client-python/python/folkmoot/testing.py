"""Real agents for tests and notebooks, on this machine, gone at the end.

Example::

    with folkmoot.testing.cluster(nodes=3) as c:
        with c.connect() as moot:
            moot.dict("jobs")["a"] = 1
        c.leader().kill()
        with c.connect() as moot:
            assert moot.dict("jobs")["a"] == 1
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Iterator, List, Optional, Sequence

from . import _program, connect
from ._sync._client import Client
from .exceptions import FolkmootError

#: Seconds for agents to start, meet and found their group.
START_TIMEOUT = 60.0
#: Seconds an agent has to end after it was asked to.
STOP_TIMEOUT = 30.0


class _Place:
    """Where an agent listens: on Linux an address of its own, else free ports of 127.0.0.1. Ours until it is closed."""

    def __init__(self) -> None:
        if sys.platform == "linux":
            self._claim: Optional[socket.socket] = _claimed_address()
            host = str(self._claim.getsockname()[0])
            self.gossip, self.rpc, self.raft = f"{host}:7946", f"{host}:7373", f"{host}:4321"
        else:
            self._claim = None
            self.gossip, self.rpc, self.raft = (f"127.0.0.1:{port}" for port in _free_ports(3))

    def close(self) -> None:
        if self._claim is not None:
            self._claim.close()


def _claimed_address() -> socket.socket:
    """An address of 127.64.0.0/12, owned by whoever listens on a port of it that no agent uses."""
    start = os.getpid() * 7919
    for step in range(1 << 16):
        number = (start + step) % (1 << 20)
        host = f"127.{64 + (number >> 16)}.{number >> 8 & 255}.{1 + (number & 255) % 254}"
        claim = socket.socket()
        try:
            claim.bind((host, 7940))
            claim.listen()
        except OSError:
            claim.close()
            continue
        return claim
    raise OSError("no free address in 127.64.0.0/12")


def _free_ports(count: int) -> List[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


class Node:
    """An agent, running or not."""

    def __init__(self, name: str, program: str, auth_key: str, directory: Path) -> None:
        self._place = _Place()
        #: The key that its clients have to show.
        self.auth_key = auth_key
        #: Its name in gossip.
        self.name = name
        #: Where its RPC is, for :func:`folkmoot.connect`.
        self.address = self._place.rpc
        #: Where it gossips.
        self.gossip = self._place.gossip
        #: Where its Raft port is.
        self.raft = self._place.raft
        #: Its log, of all its runs.
        self.log = directory / f"{name}.log"
        #: The process, once it was started.
        self.process: Optional[subprocess.Popen[bytes]] = None
        #: The agent.
        self.program = program
        #: Its flags beside name and addresses; from the next start on.
        self.arguments: List[str] = []

    @property
    def is_running(self) -> bool:
        """Whether its process is there, paused or not."""
        return self.process is not None and self.process.poll() is None

    def start(self, timeout: float = START_TIMEOUT) -> None:
        """Starts it, again maybe, and waits until it answers. Raises ``RuntimeError`` with the end of its log if it ends."""
        if self.is_running:
            return
        variables = dict(os.environ)
        for name in list(variables):
            if name.startswith(("FOLKMOOT_", "SERF_")):
                del variables[name]
        if self.auth_key:
            variables["FOLKMOOT_RPC_AUTH"] = self.auth_key
        where = [f"-node={self.name}", f"-bind={self.gossip}", f"-rpc-addr={self.address}"]
        command = [self.program, "agent", *where, *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        _eventually(self._answers, timeout, f"{self.name} does not answer")

    def kill(self) -> None:
        """Ends it at once, as a crash does (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self, timeout: float = STOP_TIMEOUT) -> None:
        """Has it leave the cluster and end (SIGINT)."""
        self._end(signal.SIGINT, timeout)

    def pause(self) -> None:
        """Stops it as a machine that hangs (SIGSTOP)."""
        process = self._signal(signal.SIGSTOP)
        # It stops a moment after it was told to.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Lets it go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def connect(self, **options: Any) -> Client:
        """A client of this agent alone; options as of :func:`folkmoot.connect`."""
        options.setdefault("auth_key", self.auth_key)
        return connect(self.address, **options)

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _answers(self) -> bool:
        if not self.is_running:
            raise RuntimeError(f"{self.name} has ended:\n{self.tail()}")
        self.connect(connect_timeout=1.0, reconnect=None).close()
        return True

    def _signal(self, number: signal.Signals) -> "subprocess.Popen[bytes]":
        if self.process is None or not self.is_running:
            raise RuntimeError(f"{self.name} does not run")
        self.process.send_signal(number)
        return self.process

    def _end(self, number: signal.Signals, timeout: float = STOP_TIMEOUT) -> None:
        if self.process is None or not self.is_running:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise RuntimeError(f"{self.name} did not end within {timeout:g} s:\n{self.tail()}") from None

    def discard(self) -> None:
        """Ends it at once and gives its address back."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self._place.close()

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.address} {'running' if self.is_running else 'ended'}>"


class Cluster:
    """Agents that know one another. See :func:`cluster`."""

    def __init__(self, nodes: List[Node], directory: Path, raft: bool) -> None:
        self.nodes = nodes
        #: Logs and data directories; gone at the end.
        self.directory = directory
        self._raft = raft

    @property
    def addresses(self) -> List[str]:
        """The RPC addresses of all, for :func:`folkmoot.connect` and :func:`folkmoot.aio.connect`."""
        return [node.address for node in self.nodes]

    def connect(self, **options: Any) -> Client:
        """A client of any of the agents; options as of :func:`folkmoot.connect`."""
        options.setdefault("auth_key", self.nodes[0].auth_key)
        return connect(*self.addresses, **options)

    def node(self, name: str) -> Node:
        """The node of this name. Raises ``KeyError``."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    def leader(self, timeout: float = START_TIMEOUT) -> Node:
        """The node that leads the group; waits until one does. Raises ``RuntimeError`` if no node runs."""
        found: List[Node] = []

        def known() -> bool:
            running = [node for node in self.nodes if node.is_running]
            if not running:
                raise RuntimeError("no node runs")
            with connect(*(node.address for node in running), auth_key=self.nodes[0].auth_key) as moot:
                leading = {member.name for member in moot.group.members() if member.leader}
            found[:] = [node for node in running if node.name in leading]
            return bool(found)

        _eventually(known, timeout, "nobody leads")
        return found[0]

    def wait(self, timeout: float = START_TIMEOUT) -> None:
        """Waits until all running agents see one another, and the group answers each of them."""
        names = {node.name for node in self.nodes if node.is_running}
        for node in self.nodes:
            if node.is_running:
                with node.connect() as moot:
                    _eventually(lambda: _sees(moot, names), timeout, f"{node.name} does not see all of {names}")
                    if self._raft:
                        _eventually(lambda: _served(moot), timeout, f"the group does not answer {node.name}")

    def close(self) -> None:
        """Ends all agents at once and removes what they wrote."""
        for node in self.nodes:
            node.discard()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __repr__(self) -> str:
        return f"<Cluster {self.nodes!r}>"


def cluster(
    nodes: int = 3,
    *,
    raft: bool = True,
    arguments: Sequence[str] = (),
    auth_key: str = "",
    program: Optional[str] = None,
    timeout: float = START_TIMEOUT,
) -> Cluster:
    """Starts ``nodes`` agents named ``n1``, ``n2``, ..., and waits until they know one another.

    * ``raft``: they found a group for coordination.
    * ``arguments``: more flags for each, such as ``-tag=role=gpu``.
    * ``auth_key``: the key that clients have to show.
    * ``program``: the agent; by default ``$FOLKMOOT_PROGRAM``, or the one that came with the package, or in ``$PATH``.

    Raises ``TimeoutError`` or ``RuntimeError``, with what the agents said, if they do not start.

    Example::

        with folkmoot.testing.cluster(nodes=1) as c, c.connect() as moot:
            print(moot.members())
    """
    program = program or _program.find()
    directory = Path(tempfile.mkdtemp(prefix="folkmoot-"))
    started = Cluster([], directory, raft)
    try:
        for index in range(nodes):
            node = Node(f"n{index + 1}", program, auth_key, directory)
            others = [other.gossip for other in started.nodes]
            node.arguments = [*_flags(node, nodes if raft else 0, others), *arguments]
            started.nodes.append(node)
            node.start(timeout)
        started.wait(timeout)
    except BaseException:
        started.close()
        raise
    return started


def _flags(node: Node, group: int, others: List[str]) -> List[str]:
    flags = ["-profile=local", *(f"-retry-join={address}" for address in others), "-retry-interval=1s"]
    if group:
        data = node.log.with_suffix(".data")
        flags += ["-raft", f"-raft-addr={node.raft}", f"-data-dir={data}"]
        if group > 1:
            flags.append(f"-raft-bootstrap-expect={group}")
    return flags


def _sees(moot: Client, names: "set[str]") -> bool:
    return names <= {member.name for member in moot.members(status="alive")}


def _served(moot: Client) -> bool:
    moot.revision(timeout=5.0)
    return True


def _eventually(condition: Callable[[], bool], timeout: float, otherwise: str) -> None:
    """Waits until it is so; what the cluster refuses until then is asked again."""
    end = time.monotonic() + timeout
    pause = threading.Event()
    reason = ""
    while True:
        try:
            if condition():
                return
        except FolkmootError as error:
            reason = f": {error}"
        if time.monotonic() > end:
            raise TimeoutError(f"{otherwise} within {timeout:g} s{reason}")
        pause.wait(0.05)
