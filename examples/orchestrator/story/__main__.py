"""``python -m story``, started by ``run`` in namespaces of its own: three nodes, five plans, four faults, and a tally.

In each fault's chapter a node has the task that waits for an approval, so that the fault always hits somebody who is at
work, and whose work somebody else has finished when it comes back.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Awaitable, Callable, List, Optional, Tuple, TypeVar

import aiohttp

import folkmoot
import folkmoot.aio
from orchestrator.plans import QUEUE, Plan

from .chronicle import Chronicle
from .network import Network
from .nodes import Node

NAMES = ["node-1", "node-2", "node-3"]
#: What workers of each node can do: trainings need a GPU.
CAPABILITIES = {"node-1": "cpu,gpu", "node-2": "cpu,gpu", "node-3": "cpu"}
#: Seconds above what any step takes on a busy machine.
PATIENCE = 180.0

T = TypeVar("T")


async def eventually(what: str, condition: Callable[[], Awaitable[Optional[T]]]) -> T:
    """The first answer that is true; what fails meanwhile is asked again."""
    deadline, last = time.monotonic() + PATIENCE, "nothing"
    while time.monotonic() < deadline:
        try:
            answer = await condition()
            if answer:
                return answer
            last = repr(answer)
        except (folkmoot.FolkmootError, aiohttp.ClientError, asyncio.TimeoutError) as error:
            last = repr(error)
        await asyncio.sleep(0.1)
    raise RuntimeError(f"not within {PATIENCE:.0f} s: {what}; last: {last}")


class Story:
    """The nodes, what is known of the tasks, and the chapters."""

    def __init__(
        self,
        told: argparse.Namespace,
        network: Network,
        nodes: List[Node],
        moot: folkmoot.aio.Client,
        http: aiohttp.ClientSession,
    ) -> None:
        self._told = told
        self._network = network
        self._nodes = {node.name: node for node in nodes}
        self._moot = moot
        self._http = http
        self._chronicle = Chronicle()
        self._plans: List[Plan] = []

    async def tell(self) -> bool:
        """All of it; whether everything was as it has to be."""
        await self._whole("three nodes are up")
        watching = asyncio.ensure_future(self._watch(await self._moot.revision()))
        try:
            for chapter in (self.quiet, self.worker_killed, self.leader_killed, self.node_paused, self.node_cut_off):
                start = time.monotonic()
                print(f"{(chapter.__doc__ or '').strip()}", flush=True)
                await chapter(chapter.__name__.replace("_", "-"))
                print(f"  the plan is done, {time.monotonic() - start:.1f} s", flush=True)
            await eventually("the watch has seen the last completion", self._all_seen)
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        return await self._tally()

    async def quiet(self, name: str) -> None:
        """Nothing happens."""
        plan = await self._begin(name)
        await self._finish(plan, "node-1")

    async def worker_killed(self, name: str) -> None:
        """A worker is killed."""
        plan = await self._begin(name)
        item, node = await self._holder(plan)
        pid = (await self._nodes[node].get(self._http, "/status"))["worker"]
        os.kill(pid, signal.SIGKILL)
        await self._claimed_again(item, f"the worker of {node}")
        await self._finish(plan, node)

    async def leader_killed(self, name: str) -> None:
        """The sidecar of a node is killed while it leads the group."""
        plan = await self._begin(name)
        item, node = await self._holder(plan)
        await self._lead(node)
        start = time.monotonic()
        self._nodes[node].kill_sidecar()
        await self._moot.kv.put("story/after-the-leader", b"1", timeout=PATIENCE)
        print(f"  the next write was acknowledged {(time.monotonic() - start) * 1000:.0f} ms after the kill", flush=True)
        await self._claimed_again(item, f"{node}, whose sidecar is gone")
        await self._finish(plan, node)
        self._nodes[node].start_sidecar()
        await self._whole(f"the sidecar of {node} is back")

    async def node_paused(self, name: str) -> None:
        """A node stands still, as a machine that is suspended."""
        plan = await self._begin(name)
        item, node = await self._holder(plan)
        await self._lead(node)
        start = time.monotonic()
        self._nodes[node].pause()
        await self._claimed_again(item, f"{node}, which stands still")
        await self._finish(plan, self._other(node))
        await asyncio.sleep(max(0.0, start + self._told.pause - time.monotonic()))
        print(f"  {node} runs on after {time.monotonic() - start:.0f} s", flush=True)
        self._nodes[node].resume()
        await self._refused(item, node)
        await self._whole(f"{node} is back")

    async def node_cut_off(self, name: str) -> None:
        """A node is cut off from the others."""
        plan = await self._begin(name)
        item, node = await self._holder(plan)
        await self._lead(node)
        self._network.cut(node)
        await self._claimed_again(item, f"{node}, which is cut off")
        await self._finish(plan, self._other(node))
        self._network.mend(node)
        await self._refused(item, node)
        await self._whole(f"{node} is back")

    async def _begin(self, name: str) -> Plan:
        """Gives a plan to one of the nodes, and waits until all of it is queued."""
        told = self._told
        plan = Plan(name, told.models, told.rounds, told.games, approval=True)
        node = self._nodes[NAMES[len(self._plans) % len(NAMES)]]
        self._plans.append(plan)
        await node.post(self._http, "/plans", plan.to_json())

        async def queued() -> bool:
            return bool((await node.get(self._http, f"/plans/{name}"))["queued"])

        await eventually(f"{name} is queued", queued)
        return plan

    async def _holder(self, plan: Plan) -> Tuple[int, str]:
        """The item that waits for approval, and the node that has it."""
        name = f"{plan.name}/m0/publish"

        async def held() -> Optional[Tuple[int, str]]:
            for claimed in await self._any().get(self._http, "/claimed"):
                if claimed["name"] == name:
                    return claimed["item"], claimed["node"]
            return None

        return await eventually(f"{name} is claimed", held)

    async def _lead(self, node: str) -> None:
        """Makes a node's sidecar lead the group."""

        async def leads() -> bool:
            status = await self._moot.group.status()
            if status.leader is not None and status.leader.name == node:
                return True
            await self._moot.group.transfer(node)
            return False

        await eventually(f"{node} leads", leads)

    async def _claimed_again(self, item: int, loser: str) -> None:
        claims = self._chronicle.claims

        async def again() -> bool:
            return claims[item] >= 2

        await eventually(f"item {item} is claimed again", again)
        print(f"  item {item} was taken from {loser}", flush=True)

    async def _refused(self, item: int, node: str) -> None:
        """Waits until a node that comes back late with an item has been told so."""

        async def told() -> Optional[str]:
            outcomes = [line["outcome"] for line in self._nodes[node].journal() if line["item"] == item]
            return outcomes[0] if outcomes else None

        outcome = await eventually(f"{node} comes back with item {item}", told)
        if outcome == "completed":
            self._chronicle.faults.append(f"{node} completed item {item} although it was somebody else's")
        print(f"  {node} came back with item {item}, too late: {outcome}", flush=True)

    async def _finish(self, plan: Plan, node: str) -> None:
        """Approves by a node, and waits until all of the plan is completed."""
        asked = self._nodes[node]

        async def approved() -> bool:
            return bool(await asked.post(self._http, f"/plans/{plan.name}/approval", {}) == {})

        async def completed() -> bool:
            told = await asked.get(self._http, f"/plans/{plan.name}")
            return bool(told["completed"] >= told["tasks"])

        await eventually(f"{plan.name} is approved", approved)
        await eventually(f"{plan.name} is completed", completed)

    async def _whole(self, what: str) -> None:
        async def whole() -> bool:
            for node in self._nodes.values():
                status = await node.get(self._http, "/status")
                if status["members"] != dict.fromkeys(NAMES, "alive") or status["quorum"] != "ok":
                    return False
                if len(status["voters"]) != 3 or status["worker"] is None or status["scheduler"] is None:
                    return False
            return True

        await eventually(what, whole)

    def _any(self) -> Node:
        return self._nodes[NAMES[0]]

    def _other(self, node: str) -> str:
        return next(name for name in NAMES if name != node)

    async def _watch(self, after: int) -> None:
        """Writes the chronicle."""
        async for change in self._moot.watch(QUEUE, after, scope="work-queue"):
            if isinstance(change, folkmoot.Resync):
                self._chronicle.faults.append("the group has forgotten changes before they were read")
            elif change.item is not None and change.state is not None:
                self._chronicle.follow(change.item, change.state)

    async def _all_seen(self) -> bool:
        return len(self._chronicle.order) >= sum(len(list(plan.tasks())) for plan in self._plans)

    async def _tally(self) -> bool:
        chronicle = self._chronicle
        tasks = {task.name: task for plan in self._plans for task in plan.tasks()}
        work = self._moot.work_queue(QUEUE)
        for end in await work.history():
            chronicle.tasks[end.item] = tasks[end.result["name"]]
        chronicle.judge()
        totals = (await work.stats()).totals
        journals = {name: Counter(line["outcome"] for line in node.journal()) for name, node in self._nodes.items()}
        print("\ntally")
        for what, number in [
            ("tasks", len(tasks)),
            ("completed, each once", sum(count == 1 for count in chronicle.completions.values())),
            ("claims", sum(chronicle.claims.values())),
            ("claims lost with their worker, node or lease", totals.lost),
            ("claimed more than once", sum(count > 1 for count in chronicle.claims.values())),
            ("completions that came late and were refused", sum(journal["refused"] for journal in journals.values())),
            ("given up", totals.died),
        ]:
            print(f"  {number:6}  {what}")
        for name, journal in journals.items():
            print(f"  {journal['completed']:6}  of them completed by {name}")
        for fault in chronicle.faults:
            print(f"  FAULT   {fault}")
        return not chronicle.faults and len(chronicle.tasks) == len(tasks)


def read() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="story", description=__doc__)
    parser.add_argument("--program", required=True, help="the folkmoot program")
    parser.add_argument("--models", type=int, default=11, help="models of each of the five plans")
    parser.add_argument("--rounds", type=int, default=5, help="self-play tasks of each model")
    parser.add_argument("--games", type=int, default=10_000, help="games of each task")
    parser.add_argument("--pause", type=float, default=20.0, help="seconds that a node stands still")
    parser.add_argument("--lease", type=float, default=10.0, help="seconds without a sign of life that end a claim")
    return parser.parse_args()


async def connected(nodes: List[Node]) -> folkmoot.aio.Client:
    """A client that goes from one sidecar to the next, when all of them are up."""
    for node in nodes:
        async with folkmoot.aio.connect(node.agent) as moot:
            await moot.members()
    return await folkmoot.aio.connect(*(node.agent for node in nodes), reconnect=PATIENCE)


async def main() -> int:
    told = read()
    directory = Path(tempfile.mkdtemp(prefix="folkmoot-story-"))
    print(f"logs and data: {directory}", flush=True)
    network = Network(NAMES)
    nodes = [Node(network, told.program, name, NAMES, directory / name) for name in NAMES]
    try:
        for node in nodes:
            node.start_sidecar()
        moot = await eventually("the sidecars answer", lambda: connected(nodes))
        for node in nodes:
            node.start_orchestrator(CAPABILITIES[node.name], told.lease)
        async with moot, aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
            well = await Story(told, network, nodes, moot, http).tell()
    finally:
        for node in nodes:
            node.end()
    if well:
        shutil.rmtree(directory)
        print("all is well")
    return 0 if well else 1


sys.exit(asyncio.run(main()))
