"""The worker: claims tasks, carries them out, and says so. A process of its own, so that it can die of a task.

A worker that was cut off or stood still may carry out a task that is somebody else's by then. It need not know: the group
refuses the completion of a claim that has ended, and a model is only written under a lock's token.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import Any, Awaitable, Callable, Dict

import folkmoot
import folkmoot.aio

from . import games
from .plans import QUEUE, Task
from .settings import Settings

LOG = logging.getLogger("orchestrator.worker")

#: Seconds that one call waits for a task.
PATIENCE = 30.0
#: Seconds to rest after an error, so that one that lasts fills no log.
REST = 1.0
#: Seconds without a sign of life after which a training's lock is free.
LOCK_TTL = 30.0


async def run(settings: Settings) -> None:
    """Works until cancelled."""
    async with folkmoot.aio.connect(*settings.agents) as moot:
        worker = Worker(moot, settings)
        await asyncio.gather(*(worker.work() for _ in range(settings.slots)))


class Worker:
    """Carries out tasks of one node."""

    def __init__(self, moot: folkmoot.aio.Client, settings: Settings) -> None:
        self._moot = moot
        self._settings = settings
        self._kinds: Dict[str, Callable[[Task], Awaitable[Any]]] = {
            "open": self._open,
            "selfplay": self._selfplay,
            "train": self._train,
            "evaluate": self._evaluate,
            "publish": self._publish,
        }

    async def work(self) -> None:
        """One task after the other."""
        settings, work = self._settings, self._moot.work_queue(QUEUE)
        while True:
            try:
                item = await work.claim(
                    lease=settings.lease, capabilities=settings.capabilities, node=settings.node, timeout=PATIENCE
                )
            except folkmoot.Empty:
                continue
            except folkmoot.FolkmootError as error:
                LOG.warning("cannot claim: %s", error)
                await asyncio.sleep(REST)
                continue
            await self._carry_out(item)

    async def _carry_out(self, item: folkmoot.aio.Item[Any]) -> None:
        task = Task.from_json(item.payload)
        try:
            result = await self._kinds[task.kind](task)
        except Exception as error:
            LOG.warning("%s failed: %r", task.name, error)
            outcome = await self._tell(item.fail(repr(error), retry_after=REST), "failed")
        else:
            told = {"name": task.name, "plan": task.plan.name, "node": self._settings.node, "result": result}
            outcome = await self._tell(item.complete(told), "completed")
        self._note(task, item, outcome)

    async def _tell(self, call: Awaitable[None], outcome: str) -> str:
        try:
            await call
        except folkmoot.LeaseLost:
            return "refused"
        except folkmoot.FolkmootError as error:
            # The group knows whether it was done; if not, the claim ends and the task comes again.
            LOG.warning("not told: %s", error)
            return "unknown"
        return outcome

    def _note(self, task: Task, item: folkmoot.aio.Item[Any], outcome: str) -> None:
        LOG.info("%s (attempt %d, token %d): %s", task.name, item.attempts + 1, item.token, outcome)
        if self._settings.journal:
            line = {"name": task.name, "item": item.id, "token": item.token, "outcome": outcome, "pid": os.getpid()}
            with open(self._settings.journal, "a", encoding="utf-8") as journal:
                journal.write(json.dumps(line) + "\n")

    async def _open(self, task: Task) -> Any:
        await self._moot.barrier(task.plan.opening).wait()
        return None

    async def _selfplay(self, task: Task) -> Any:
        # In a thread, because leases are renewed meanwhile.
        record = await asyncio.to_thread(games.play, task.plan.games, task.name)
        await self._moot.kv.put(f"results/{task.name}", json.dumps(record).encode())
        return None

    async def _train(self, task: Task) -> Any:
        key = f"models/{task.model_name}"
        async with self._moot.lock(f"training:{task.model_name}", ttl=LOCK_TTL).acquire() as held:
            records = [await self._read(f"results/{name}") for name in task.after]
            model = await asyncio.to_thread(games.train, records)
            before = await self._moot.kv.get(key)
            if before is not None and json.loads(before.value)["fence"] > held.token:
                raise RuntimeError(f"{key} was written by a later training")
            value = json.dumps({"fence": held.token, "model": model, "published": False}).encode()
            swap = await self._moot.kv.compare_and_set(key, before.modified if before else None, value)
            if not swap.written:
                raise RuntimeError(f"{key} was written meanwhile")
            return {"token": held.token}

    async def _evaluate(self, task: Task) -> Any:
        model = (await self._read(f"models/{task.model_name}"))["model"]
        opening = games.best_opening(model)
        record = await asyncio.to_thread(games.play, task.plan.games, task.name, opening)
        return {"opening": opening, "won": record[opening][1] / task.plan.games}

    async def _publish(self, task: Task) -> Any:
        if task.plan.approval and task.model == 0:
            await self._moot.barrier(task.plan.approving).wait()
        await self._moot.event("model-published", task.model_name.encode(), coalesce=False)
        return None

    async def _read(self, key: str) -> Any:
        entry = await self._moot.kv.get(key)
        if entry is None:
            raise RuntimeError(f"{key} is not there")
        return json.loads(entry.value)
