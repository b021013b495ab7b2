"""``python -m orchestrator node``: the API, the scheduler's candidate and a worker. ``worker``: the worker alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from typing import List, Optional

from aiohttp import web

import folkmoot
import folkmoot.aio

from . import scheduler, settings, worker
from .api import Api

LOG = logging.getLogger("orchestrator")

#: Seconds to rest before what ended is begun again.
REST = 1.0


class Supervisor:
    """Keeps one worker process running."""

    def __init__(self, arguments: List[str]) -> None:
        self._command = [sys.executable, "-m", "orchestrator", "worker", *arguments]
        self._process: Optional[asyncio.subprocess.Process] = None

    def pid(self) -> Optional[int]:
        """Of the worker; none while there is none."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def run(self) -> None:
        """Starts one after the other, until cancelled."""
        while True:
            self._process = await asyncio.create_subprocess_exec(*self._command)
            try:
                code = await self._process.wait()
            finally:
                if self._process.returncode is None:
                    self._process.terminate()
                    await self._process.wait()
            LOG.warning("the worker ended with %s", code)
            await asyncio.sleep(REST)


async def follow(moot: folkmoot.aio.Client, api: Api) -> None:
    """Keeps the last events of the cluster for the API, until cancelled."""
    while True:
        try:
            async with moot.stream("*") as events:
                async for event in events:
                    api.remember(event)
        except folkmoot.FolkmootError as error:
            LOG.warning("events are interrupted: %s", error)
            await asyncio.sleep(REST)


async def node(told: settings.Settings, arguments: List[str]) -> None:
    """All parts of a node, until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with folkmoot.aio.connect(*told.agents) as moot:
        supervisor = Supervisor(arguments)
        api = Api(moot, told.node, supervisor.pid)
        runner = web.AppRunner(api.application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, told.host, told.port).start()
        parts = [supervisor.run(), scheduler.run(moot, told.node), follow(moot, api)]
        tasks = [asyncio.ensure_future(part) for part in [*parts, stop.wait()]]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await runner.cleanup()


def main() -> None:
    """Runs the part that the command line names."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    part, told = settings.read()
    arguments = [word for word in sys.argv[1:] if word not in ("node", "worker")]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(worker.run(told) if part == "worker" else node(told, arguments))


main()
