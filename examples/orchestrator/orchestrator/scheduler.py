"""The scheduler: one of the nodes is elected to turn plans into work items. Whoever is elected goes on where the last one
was interrupted, and puts nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any, Coroutine, Dict

import folkmoot
import folkmoot.aio

from .plans import ATTEMPTS, QUEUE, Plan, Stored

LOG = logging.getLogger("orchestrator.scheduler")

#: Name of the office.
OFFICE = "scheduler"
#: Seconds after which an office whose holder is silent is free.
TERM = 10.0
#: Seconds to rest after an error, so that one that lasts fills no log.
REST = 1.0


async def run(moot: folkmoot.aio.Client, node: str) -> None:
    """Campaigns, and schedules while elected, until cancelled."""
    while True:
        try:
            async with moot.election(OFFICE, value=node, ttl=TERM).campaign() as term:
                LOG.info("%s is the scheduler, term %d", node, term.token)
                await _until_first(_schedule(moot), term.lost())
        except folkmoot.LeaseLost as error:
            LOG.warning("%s is the scheduler no longer: %s", node, error)
        except folkmoot.FolkmootError as error:
            LOG.warning("scheduling is interrupted: %s", error)
            await asyncio.sleep(REST)


async def _until_first(*coroutines: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _schedule(moot: folkmoot.aio.Client) -> None:
    """Queues the plans that are there, then those that come."""
    page = await moot.kv.list(Stored.PREFIX)
    entries, seen = list(page.entries), page.revision
    while page.more:
        page = await moot.kv.list(Stored.PREFIX, after=page.entries[-1].key)
        entries += page.entries
    for entry in entries:
        await _take_on(moot, Stored.from_bytes(entry.value))
    async for change in moot.kv.watch(Stored.PREFIX, after=seen):
        if isinstance(change, folkmoot.Resync):
            # What came meanwhile is not told: begin anew.
            return
        if change.what == "put" and change.value is not None:
            await _take_on(moot, Stored.from_bytes(change.value))


async def _take_on(moot: folkmoot.aio.Client, stored: Stored) -> None:
    plan = stored.plan
    if not stored.queued:
        await _queue(moot, plan)
        await moot.kv.put(stored.key, Stored(plan, queued=True).to_bytes())
    # Also where the last scheduler did not come to it.
    with contextlib.suppress(folkmoot.NotFound):
        await moot.barrier(plan.opening).lift()


async def _queue(moot: folkmoot.aio.Client, plan: Plan) -> None:
    """Puts all tasks. No task ends before the plan is open, so each is in the queue if it was put before, and its dedupe
    key makes the second put none."""
    for barrier in [plan.opening, *([plan.approving] if plan.approval else [])]:
        # The last scheduler may have come as far.
        with contextlib.suppress(folkmoot.Conflict):
            await moot.barrier(barrier).raise_()
    work = moot.work_queue(QUEUE)
    items: Dict[str, int] = {}
    for task in plan.tasks():
        put = await work.put(
            task.to_json(),
            priority=task.priority,
            dedupe=task.name,
            depends_on=[items[name] for name in task.after],
            max_attempts=ATTEMPTS,
            requires=task.requires,
        )
        items[task.name] = put.item
    LOG.info("plan %s: %d tasks are queued", plan.name, len(items))
