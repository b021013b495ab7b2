"""Clients beside what else a process does: threads, forks, Ctrl-C, event loops of all kinds, logging."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading

import folkmoot
import folkmoot.aio
import pytest
from faces import PATIENT
from waiting import eventually

#: Seconds that nothing takes here unless it hangs.
LIMIT = 120.0


def python(script, *arguments):
    """Starts a Python program."""
    command = [sys.executable, "-c", textwrap.dedent(script), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_many_threads_share_a_client(one):
    faults = []
    with one.connect(**PATIENT) as moot:

        def work(number):
            try:
                for step in range(50):
                    key = f"{number}/{step}"
                    moot.kv.put(key, key)
                    assert moot.kv.get(key).value == key.encode()
                    moot.members()
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
        assert not faults and not any(thread.is_alive() for thread in threads)


def test_other_threads_run_while_a_call_waits(one):
    with one.connect(**PATIENT) as moot:
        waiting = threading.Thread(target=lambda: moot.queue("other-threads-run").get(timeout=LIMIT))
        waiting.start()
        while moot.queue("other-threads-run").info().waiting == 0:
            pass
        moot.queue("other-threads-run").put("go")
        waiting.join(LIMIT)
        assert not waiting.is_alive()


def test_after_a_fork_old_objects_say_so_and_new_ones_work(one):
    script = """
        import asyncio, os, sys, folkmoot
        moot = folkmoot.connect(sys.argv[1])
        moot.members()
        jobs = moot.dict("fork")
        events = moot.stream("user")
        child = os.fork()
        if child == 0:
            for call in (moot.members, lambda: jobs["a"], lambda: next(events)):
                try:
                    call()
                except folkmoot.ForkError as fault:
                    assert "child" in str(fault), fault
                else:
                    os._exit(3)
            with folkmoot.connect(sys.argv[1]) as own:
                own.dict("fork")["child"] = os.getpid()
            async def main():
                async with folkmoot.aio.connect(sys.argv[1]) as own:
                    assert await own.dict("fork").get("child") == os.getpid()
            asyncio.run(main())
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
        assert jobs["child"] == child
        assert moot.members()
        print("well")
    """
    process = python(script, one.addresses[0])
    out, err = process.communicate(timeout=LIMIT)
    assert (out, process.returncode) == ("well\n", 0), err


@pytest.mark.parametrize(
    "waits",
    [
        "for event in moot.stream('user:never'): pass",
        "moot.queue('ctrl-c').get()",
        "moot.kv.watch('ctrl-c/never').next()",
        "asyncio.run(forever())",
    ],
)
def test_ctrl_c_ends_what_waits(one, waits):
    script = f"""
        import asyncio, signal, sys, folkmoot
        # Tests that a shell runs in its background were told to ignore interrupts, and so was this program.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        async def forever():
            async with folkmoot.aio.connect(sys.argv[1]) as other:
                print("waiting", flush=True)
                await other.queue("ctrl-c").get()
        with folkmoot.connect(sys.argv[1]) as moot:
            print("waiting", flush=True)
            try:
                {waits}
            except KeyboardInterrupt:
                assert moot.members()
                print("interrupted", flush=True)
    """
    process = python(script, one.addresses[0])
    seen = process.stdout.readline()
    if "forever()" in waits:
        seen = process.stdout.readline()
    assert seen == "waiting\n"
    if "queue" in waits or "forever()" in waits:
        with one.connect(**PATIENT) as moot:
            eventually(lambda: moot.queue("ctrl-c").info().waiting, "its call waits")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert "interrupted" in out or "KeyboardInterrupt" in err
    assert process.returncode in (0, -signal.SIGINT), (out, err)


def loops():
    yield "asyncio", asyncio.new_event_loop
    import uvloop

    yield "uvloop", uvloop.new_event_loop


@pytest.mark.parametrize("new_loop", [pytest.param(new, id=name) for name, new in loops()])
def test_a_hundred_tasks_share_a_client_on_any_loop(one, new_loop):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:

            async def work(number):
                for step in range(10):
                    await moot.kv.put(f"tasks/{number}", str(step))
                return (await moot.kv.get(f"tasks/{number}")).value

            assert await asyncio.gather(*map(work, range(100))) == [b"9"] * 100
            async with moot.stream("user:tasks") as events:
                await moot.stats()
                await moot.event("tasks", coalesce=False)
                assert (await events.next(LIMIT)).name == "tasks"

    loop = new_loop()
    try:
        loop.run_until_complete(asyncio.wait_for(main(), LIMIT))
    finally:
        loop.close()


def test_one_client_serves_one_loop_after_the_other(one):
    client = None

    async def first():
        nonlocal client
        client = await folkmoot.aio.connect(*one.addresses, **PATIENT)
        return len(await client.members())

    async def second():
        async with client:
            return len(await client.members())

    assert asyncio.run(first()) == asyncio.run(second()) == 1


def test_a_cancelled_call_takes_nothing(one):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            queue = moot.queue("cancelled")
            waiting = asyncio.ensure_future(queue.get())
            while (await queue.info()).waiting == 0:
                pass
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            while (await queue.info()).waiting:
                pass
            await queue.put("kept")
            assert await queue.get(timeout=LIMIT) == "kept"
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(queue.get(), 0.05)

    asyncio.run(main())


def test_a_loop_that_ends_under_a_call_leaves_the_process_well(one):
    async def main():
        moot = await folkmoot.aio.connect(*one.addresses, **PATIENT)
        task = asyncio.ensure_future(moot.queue("never-filled").get())
        await moot.members()
        assert not task.done()

    for _ in range(3):
        asyncio.run(main())
    with one.connect(**PATIENT) as moot:
        assert moot.members()


def test_a_process_ends_with_open_streams_and_clients(one):
    script = """
        import sys, threading, folkmoot
        moot = folkmoot.connect(sys.argv[1])
        events = moot.stream("user:never")
        threading.Thread(target=lambda: events.next(), daemon=True).start()
        moot.members()
        print("end")
    """
    process = python(script, one.addresses[0])
    out, err = process.communicate(timeout=LIMIT)
    assert (out, err, process.returncode) == ("end\n", "", 0)


def test_open_files_of_an_event_loop_are_closed_with_it(one):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            await moot.members()

    asyncio.run(main())
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        asyncio.run(main())
    assert len(os.listdir("/proc/self/fd")) <= before + 8
