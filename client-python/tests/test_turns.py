"""Who blocks on a call drives the sockets of the process himself: what that means for other threads, for event loops, and for
what goes on by itself, while he does and when he stops."""

import asyncio
import signal
import threading

import folkmoot
import folkmoot.aio
import pytest
from fake_agent import MEMBERS, answer
from faces import PATIENT
from test_processes import LIMIT, python

THREADS = 16


def together(call):
    """What each of so many threads got of the call with its number, or the exception it raised."""
    ends = [None] * THREADS

    def work(number):
        try:
            ends[number] = call(number)
        except BaseException as fault:
            ends[number] = fault

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)
    return ends


def test_threads_whose_answers_come_in_any_order_each_get_their_own(fake):
    def last_first(connection, requests):
        waiting = []
        for _, number, body in requests:
            waiting.append(answer(number, {"Num": int(body["Existing"][0])}))
            if len(waiting) == THREADS:
                connection.sendall(b"".join(reversed(waiting)))
                waiting.clear()

    with folkmoot.connect(fake(last_first).address, **PATIENT) as moot:
        for _ in range(20):
            assert together(lambda number: moot.join(str(number))) == list(range(THREADS))


def test_an_answer_that_is_cut_ends_the_calls_of_all_threads(fake):
    def cut(connection, requests):
        numbers = [next(requests)[1] for _ in range(THREADS)]
        connection.sendall(answer(numbers[0], MEMBERS)[:-3])

    with folkmoot.connect(fake(cut).address, reconnect=None, timeout=LIMIT) as moot:
        assert [type(end) for end in together(lambda _: moot.members())] == [folkmoot.Closed] * THREADS


def test_a_silent_agent_is_a_timeout_for_each_thread_and_answers_the_next(fake):
    heard = threading.Event()

    def silent(connection, requests):
        for _, number, _ in requests:
            if heard.is_set():
                connection.sendall(answer(number, MEMBERS))

    with folkmoot.connect(fake(silent).address, reconnect=None) as moot:
        ends = together(lambda _: moot.members(timeout=0.2))
        assert [type(end) for end in ends] == [folkmoot.Timeout] * THREADS
        heard.set()
        assert moot.members(timeout=LIMIT) == []


def test_closing_a_client_ends_the_calls_of_other_threads(fake):
    asked, all_asked = [], threading.Event()

    def silent(connection, requests):
        for _, number, _ in requests:
            asked.append(number)
            if len(asked) == THREADS:
                all_asked.set()

    moot = folkmoot.connect(fake(silent).address, reconnect=None)
    closing = threading.Thread(target=lambda: all_asked.wait(LIMIT) and moot.close())
    closing.start()
    assert [type(end) for end in together(lambda _: moot.members(timeout=LIMIT))] == [folkmoot.Closed] * THREADS
    closing.join(LIMIT)


def test_what_goes_on_by_itself_goes_on_when_nobody_blocks(fake):
    stopped = threading.Event()

    def one_stream(connection, requests):
        for command, number, _ in requests:
            connection.sendall(answer(number))
            if command == "stop":
                stopped.set()

    with folkmoot.connect(fake(one_stream).address, **PATIENT) as moot:
        events = moot.stream("user")
        del events
        # No call of ours is under way, and the agent is told all the same.
        assert stopped.wait(LIMIT)


def test_a_reader_who_never_waits_reads_what_comes(one):
    with one.connect(**PATIENT) as moot, moot.stream("user:never-waits") as events:
        moot.stats()
        moot.event("never-waits", coalesce=False)
        read = None
        while read is None:
            try:
                read = events.next(timeout=0.0)
            except folkmoot.Timeout:
                pass
        assert read.name == "never-waits"


def test_event_loops_are_served_beside_threads_that_block(one):
    async def main(moot):
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as other:
            for _ in range(200):
                await other.members()
            getting = asyncio.ensure_future(other.queue("beside").get())
            while (await other.queue("beside").info()).waiting == 0:
                pass
            await asyncio.get_running_loop().run_in_executor(None, moot.queue("beside").put, "went")
            return await asyncio.wait_for(getting, LIMIT)

    with one.connect(**PATIENT) as moot:
        over = threading.Event()

        def work():
            while not over.is_set():
                moot.members()

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            assert asyncio.run(main(moot)) == "went"
        finally:
            over.set()
        for thread in threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in threads)


def test_ctrl_c_ends_the_call_of_the_main_thread_alone(one):
    script = """
        import signal, sys, threading, folkmoot
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with folkmoot.connect(sys.argv[1]) as moot:
            got = []
            other = threading.Thread(target=lambda: got.append(moot.queue("not-interrupted").get()))
            other.start()
            while moot.queue("not-interrupted").info().waiting == 0:
                pass
            print("waiting", flush=True)
            try:
                moot.queue("interrupted").get()
            except KeyboardInterrupt:
                moot.queue("not-interrupted").put("well")
                other.join()
                print(*got, flush=True)
    """
    process = python(script, one.addresses[0])
    assert process.stdout.readline() == "waiting\n"
    with one.connect(**PATIENT) as moot:
        while moot.queue("interrupted").info().waiting == 0:
            pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=LIMIT)
    assert (out, process.returncode) == ("well\n", 0), err


def test_a_fork_while_a_thread_blocks_leaves_both_processes_well(one):
    script = """
        import os, sys, threading, folkmoot
        moot = folkmoot.connect(sys.argv[1])
        got = []
        other = threading.Thread(target=lambda: got.append(moot.queue("forked").get()))
        other.start()
        while moot.queue("forked").info().waiting == 0:
            pass
        for number in range(20):
            child = os.fork()
            if child == 0:
                try:
                    moot.members()
                except folkmoot.ForkError:
                    with folkmoot.connect(sys.argv[1]) as own:
                        os._exit(len(own.members()))
                os._exit(3)
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == 1, status
        moot.queue("forked").put("well")
        other.join()
        print(*got)
    """
    process = python(script, one.addresses[0])
    out, err = process.communicate(timeout=LIMIT)
    assert (out, process.returncode) == ("well\n", 0), err


@pytest.mark.parametrize("timeout", [0.0, 0.05])
def test_a_call_that_was_given_up_is_not_answered_later(fake, timeout):
    go_on = threading.Event()

    def late(connection, requests):
        for _, number, _ in requests:
            go_on.wait(LIMIT)
            connection.sendall(answer(number, MEMBERS))

    with folkmoot.connect(fake(late).address, reconnect=None) as moot:
        with pytest.raises(folkmoot.Timeout):
            moot.members(timeout=timeout)
        go_on.set()
        assert moot.members(timeout=LIMIT) == []
