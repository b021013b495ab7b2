"""The HTTP API of a node. Every node answers the same, whichever is asked."""

from __future__ import annotations

import collections
import contextlib
import json
from typing import Any, Callable, Deque, Optional

from aiohttp import web

import folkmoot
import folkmoot.aio

from .plans import QUEUE, Plan, Stored
from .scheduler import OFFICE

#: Events that ``/status`` shows.
EVENTS_SHOWN = 50

#: HTTP status of an error of the group; any other is 503: again later.
STATUS = {folkmoot.NotFound: 404, folkmoot.InvalidRequest: 400, folkmoot.Conflict: 409}


class Api:
    """The handlers, and what they share."""

    def __init__(self, moot: folkmoot.aio.Client, node: str, worker: Callable[[], Optional[int]]) -> None:
        self._moot = moot
        self._node = node
        self._worker = worker
        #: The last events of the cluster, as text.
        self.events: Deque[str] = collections.deque(maxlen=EVENTS_SHOWN)

    def remember(self, event: folkmoot.Event) -> None:
        """Shows an event of the cluster from now on."""
        if isinstance(event, folkmoot.MemberEvent):
            self.events.append(f"{event.event}: {', '.join(member.name for member in event.members)}")
        elif isinstance(event, folkmoot.UserEvent):
            self.events.append(f"{event.name}: {event.payload.decode(errors='replace')}")

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application(middlewares=[_errors])
        application.add_routes(
            [
                web.get("/health", self._health),
                web.get("/status", self._status),
                web.get("/claimed", self._claimed),
                web.get("/models", self._models),
                web.post("/plans", self._post_plan),
                web.get("/plans/{name}", self._plan),
                web.post("/plans/{name}/approval", self._approve),
            ]
        )
        return application

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"node": self._node, "worker": self._worker()})

    async def _status(self, _request: web.Request) -> web.Response:
        members, group = await self._moot.members(), await self._moot.group.status()
        line = await self._moot.election(OFFICE).info()
        numbers = await self._moot.work_queue(QUEUE).stats()
        told = {
            "node": self._node,
            "worker": self._worker(),
            "members": {member.name: member.status for member in members},
            "quorum": group.quorum,
            "leader": group.leader.name if group.leader else None,
            "voters": sorted(voter.name for voter in group.voters),
            "scheduler": line.holds[0].value if line.holds else None,
            "queue": {**numbers._asdict(), "totals": numbers.totals._asdict()},
            "events": list(self.events),
        }
        return web.json_response(told)

    async def _claimed(self, _request: web.Request) -> web.Response:
        work, claimed, after = self._moot.work_queue(QUEUE), [], 0
        while True:
            page = await work.list("claimed", after)
            if not page:
                break
            claimed += [{"item": info.item, "name": info.payload["name"], "node": info.node} for info in page]
            after = page[-1].item
        return web.json_response(claimed)

    async def _models(self, _request: web.Request) -> web.Response:
        entries = await self._moot.kv.list_all("models/")
        return web.json_response({entry.key[len("models/") :]: json.loads(entry.value) for entry in entries})

    async def _post_plan(self, request: web.Request) -> web.Response:
        try:
            plan = Plan(**await request.json())
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        stored = Stored(plan, queued=False)
        swap = await self._moot.kv.compare_and_set(stored.key, None, stored.to_bytes())
        if not swap.written:
            return web.json_response({"error": f"there is a plan {plan.name} already"}, status=409)
        return web.json_response({"plan": plan.name, "tasks": len(list(plan.tasks()))}, status=202)

    async def _plan(self, request: web.Request) -> web.Response:
        entry = await self._moot.kv.get(Stored.PREFIX + request.match_info["name"])
        if entry is None:
            return web.json_response({"error": "no such plan"}, status=404)
        stored = Stored.from_bytes(entry.value)
        history = await self._moot.work_queue(QUEUE).history()
        completed = sum(end.state == "completed" and end.result["plan"] == stored.plan.name for end in history)
        tasks = len(list(stored.plan.tasks()))
        told = {**stored.plan.to_json(), "queued": stored.queued, "tasks": tasks, "completed": completed}
        return web.json_response(told)

    async def _approve(self, request: web.Request) -> web.Response:
        entry = await self._moot.kv.get(Stored.PREFIX + request.match_info["name"])
        if entry is None:
            return web.json_response({"error": "no such plan"}, status=404)
        # It may be approved already.
        with contextlib.suppress(folkmoot.NotFound):
            await self._moot.barrier(Stored.from_bytes(entry.value).plan.approving).lift()
        return web.json_response({})


@web.middleware
async def _errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except folkmoot.FolkmootError as error:
        status = next((status for kind, status in STATUS.items() if isinstance(error, kind)), 503)
        return web.json_response({"error": str(error)}, status=status)
