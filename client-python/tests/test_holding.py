"""What is held: given back, lost, waited for, in both faces."""

import asyncio
import threading

import folkmoot
import folkmoot.aio
import pytest
from faces import PATIENT

#: Seconds that nothing takes here unless it hangs.
LIMIT = 120.0


@pytest.fixture
def name(request):
    """A name that no other test has."""
    return request.node.name


@pytest.fixture
def other(one):
    """Another client."""
    with one.connect(**PATIENT) as client:
        yield client


def test_a_lock_is_held_in_its_block_and_given_back_behind_it(moot, other, name):
    lock = moot.lock(name, ttl=60.0)
    with lock as held:
        assert held.is_held and held.hold and "held" in repr(held)
        assert other.lock(name).try_acquire() is None
        with pytest.raises(folkmoot.Busy):
            other.lock(name).acquire(timeout=0.05)
        (hold,) = other.lock(name).info().holds
        assert (hold.hold, hold.token, hold.ttl) == (held.hold, held.token, 60.0)
        assert held.lost(timeout=0.05) is None
    assert not held.is_held and "ended" in repr(held)
    with other.lock(name).acquire(timeout=LIMIT) as after:
        assert after.token > held.token
    held_again = lock.try_acquire()
    held_again.release()
    assert other.lock(name).info().holds == []


def lose(moot, name, session, what):
    """Takes a lock with a session, and ends the session under it."""
    with moot.lock(name, session=session) as held:
        moot.destroy_session(session.id)
        what(held)


def test_leaving_a_block_whose_lock_was_lost_raises(moot, name):
    with pytest.raises(folkmoot.LeaseLost):
        lose(moot, name, moot.session(LIMIT), lambda held: None)


def test_an_error_of_the_block_goes_before_the_loss(moot, name):
    def fail(held):
        raise ValueError("the block's own")

    with pytest.raises(ValueError, match="the block's own"):
        lose(moot, name, moot.session(LIMIT), fail)


def test_a_holder_is_told_of_the_loss(moot, name):
    def wait(held):
        reason = held.lost(timeout=LIMIT)
        assert reason and not held.is_held

    with pytest.raises(folkmoot.LeaseLost):
        lose(moot, name, moot.session(LIMIT), wait)


def test_a_block_may_give_back_earlier(moot, other, name):
    with moot.lock(name) as held:
        held.release()
        assert other.lock(name).try_acquire() is not None


def test_a_client_that_closes_gives_back(face, one, other, name):
    client = face.connect(*one.addresses)
    client.lock(name, ttl=600.0).acquire()
    client.close()
    other.lock(name).acquire(timeout=LIMIT).release()


def test_many_threads_enter_one_lock_object_one_at_a_time(one, name):
    inside, most, rounds = 0, 0, []

    def work(lock):
        nonlocal inside, most
        for _ in range(5):
            with lock as held:
                inside += 1
                most = max(most, inside)
                rounds.append(held.token)
                inside -= 1

    with one.connect(**PATIENT) as moot:
        lock = moot.lock(name)
        threads = [threading.Thread(target=work, args=(lock,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
    assert most == 1 and len(rounds) == 30 and rounds == sorted(rounds)


def test_many_tasks_enter_one_lock_object_one_at_a_time(one, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            lock, inside, tokens = moot.lock(name), [], []

            async def work(number):
                for _ in range(5):
                    async with lock as held:
                        assert not inside
                        inside.append(number)
                        await moot.members()
                        tokens.append(held.token)
                        inside.pop()

            await asyncio.gather(*map(work, range(6)))
            assert len(tokens) == 30 and tokens == sorted(tokens)

    asyncio.run(main())


def test_a_cancelled_acquire_holds_nothing(one, other, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            held = await moot.lock(name).acquire()
            waiting = asyncio.ensure_future(moot.lock(name)._have(None))
            while not (await moot.lock(name).info()).waiting:
                pass
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await held.release()
            async with moot.lock(name).acquire(timeout=LIMIT):
                pass

    asyncio.run(main())


def test_what_comes_for_a_get_that_is_cancelled_goes_back(one, other, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            queue = other.queue(name)
            getting = asyncio.ensure_future(moot.queue(name).get())
            while not queue.info().waiting:
                await asyncio.sleep(0)
            queue.put("x")
            # It is taken, and its taker has no chance to look.
            while queue.info().length or queue.info().waiting:
                pass
            getting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await getting
            assert queue.get(timeout=LIMIT) == "x"

    asyncio.run(main())


def test_who_waits_for_a_loss_is_told_nothing_when_it_is_given_back(one, name):
    async def main():
        async with folkmoot.aio.connect(*one.addresses, **PATIENT) as moot:
            async with moot.lock(name) as held:
                waiting = asyncio.ensure_future(held.lost())
                await moot.members()
            assert await asyncio.wait_for(waiting, LIMIT) is None

    asyncio.run(main())


def test_readers_share_and_a_writer_is_alone(moot, other, name):
    with moot.rwlock(name).read(), other.rwlock(name).read(timeout=LIMIT):
        with pytest.raises(folkmoot.Busy):
            other.rwlock(name).write(timeout=0.05)
    with moot.rwlock(name).write(), pytest.raises(folkmoot.Busy):
        other.rwlock(name).read(timeout=0.0)


def test_permits_are_counted_and_all_name_the_same_number(moot, other, name):
    with moot.semaphore(name, 3).acquire(2):
        assert other.semaphore(name, 3).try_acquire(2) is None
        with other.semaphore(name, 3) as one:
            assert one.is_held
        with pytest.raises(folkmoot.Conflict):
            other.semaphore(name, 4).try_acquire()


def test_permits_of_one_object_are_entered_within_each_other(moot, other, name):
    permits = moot.semaphore(name, 3)
    with permits as outer:
        with permits as inner:
            assert inner.token > outer.token and outer.is_held
            assert len(other.semaphore(name, 3).info().holds) == 2
        assert outer.is_held and not inner.is_held
        assert [hold.hold for hold in other.semaphore(name, 3).info().holds] == [outer.hold]
    assert other.semaphore(name, 3).info().holds == []


def test_one_leads_and_all_see_who(moot, other, name):
    with other.election(name).observe() as leaders:
        assert leaders.next(LIMIT).hold is None
        with moot.election(name, value={"node": "n1"}).campaign(timeout=LIMIT) as term:
            seen = leaders.next(LIMIT)
            assert (seen.value, seen.token) == ({"node": "n1"}, term.token)
            with pytest.raises(folkmoot.Busy):
                other.election(name, value="n2").campaign(timeout=0.05)
            term.proclaim({"node": "n1", "port": 80})
            assert leaders.next(LIMIT).value["port"] == 80
            assert other.election(name).leader() == {"node": "n1", "port": 80}
        gone = leaders.next(LIMIT)
        assert gone.hold is None and gone.value is None
    assert other.election(name).leader() is None
    with other.election(name, value="n2").campaign() as after:
        assert after.token > term.token
        moot.election(name).resign(after.hold)
        with pytest.raises(folkmoot.LeaseLost):
            after.resign()


def test_an_item_is_completed_failed_or_given_back_by_the_end_of_its_block(moot, name):
    work = moot.work_queue(name)
    put = work.put({"n": 1}, max_attempts=2)
    assert not put.duplicate
    with pytest.raises(KeyboardInterrupt), work.claim(timeout=LIMIT):
        raise KeyboardInterrupt
    assert work.get(put.item).attempts == 0 and work.get(put.item).state == "ready"
    with pytest.raises(ValueError, match="no memory"), work.claim(timeout=LIMIT) as item:
        assert item.attempts == 0 and item.payload == {"n": 1}
        raise ValueError("no memory")
    assert work.get(put.item).last_error == "ValueError: no memory"
    with work.claim(timeout=LIMIT) as item:
        assert item.attempts == 1 and item.is_held and item.priority == 50
    assert not item.is_held
    with pytest.raises(folkmoot.NotFound):
        work.get(put.item)
    work.put("second")
    with work.claim(timeout=LIMIT) as item:
        item.complete({"elo": 1500})
    assert [end.result for end in work.history()] == [{"elo": 1500}, None]
    with pytest.raises(folkmoot.Empty):
        work.claim(timeout=0.05)
    assert work.claim_many(4, timeout=0.0) == []


def test_an_item_that_cannot_be_read_fails_alone(moot, name):
    raw, work = moot.work_queue(name, folkmoot.Bytes), moot.work_queue(name)
    unreadable = raw.put(b"{", max_attempts=1)
    work.put("readable")
    first, second = work.claim_many(2, timeout=LIMIT)
    with pytest.raises(ValueError, match="Expecting"), first:
        first.payload
    assert second.payload == "readable"
    second.complete()
    (dead,) = raw.dead()
    assert dead.item == unreadable.item and dead.last_error.startswith("JSONDecodeError")


def test_a_late_completion_is_refused_by_its_token(moot, other, name):
    work = moot.work_queue(name)
    work.put("x")
    item = work.claim(timeout=LIMIT)
    other.work_queue(name).release(item.id, item.token)
    with other.work_queue(name).claim(timeout=LIMIT) as again:
        assert again.token > item.token
        for late in (item.complete, item.fail, item.release):
            with pytest.raises(folkmoot.LeaseLost):
                late()
        work.heartbeat(again.id, again.token)
    assert work.stats().totals.completed == 1


def test_items_are_given_out_by_priority_and_capability(moot, name):
    work = moot.work_queue(name)
    work.put("low", priority=1)
    work.put("gpu", priority=99, requires=["gpu"])
    work.put("high", priority=80)
    first, second = work.claim_many(5, timeout=LIMIT)
    assert (first.payload, second.payload) == ("high", "low")
    (gpu,) = work.claim_many(5, capabilities=["gpu"], timeout=LIMIT)
    for item in (first, second, gpu):
        item.complete()
    work.configure(1, 2)
    work.put(1)
    assert work.put(2).pressure
    with pytest.raises(folkmoot.Full):
        work.put(3)


def test_a_session_ends_what_depends_on_it(face, one, moot, name):
    with moot.session(ttl=60.0) as session:
        assert session.is_held and moot.session_info(session.id).ttl == 60.0
        moot.kv.put(name, b"here", session=session)
        moot.renew_session(session.id)
        assert session.id in [info.session for info in moot.sessions()]
    assert moot.kv.get(name) is None
    with pytest.raises(folkmoot.SessionEnded):
        moot.kv.put(name, b"late", session=session)
    client = face.connect(*one.addresses)
    bound = client.session(ttl=600.0, with_connection=True)
    client.kv.put(name, b"here", session=bound.id)
    with moot.kv.watch(name) as changes:
        client.close()
        assert changes.next(LIMIT).cause == "owner-ended"


def test_a_barrier_holds_all_until_it_is_lifted(moot, other, name):
    barrier = moot.barrier(name)
    assert barrier.wait(timeout=0.0)
    barrier.raise_()
    with pytest.raises(folkmoot.Conflict):
        barrier.raise_()
    assert not barrier.wait(timeout=0.05)
    through = []
    thread = threading.Thread(target=lambda: through.append(other.barrier(name).wait(timeout=LIMIT)))
    thread.start()
    while not barrier.info().waiting:
        pass
    barrier.lift()
    thread.join(LIMIT)
    assert through == [True]


def test_a_gate_opens_when_all_are_there(moot, other, name):
    with pytest.raises(folkmoot.Busy):
        moot.gate(name, 2).enter(timeout=0.05)
    inside = threading.Event()

    def enter():
        with other.gate(name, 2).enter(timeout=LIMIT):
            inside.set()

    thread = threading.Thread(target=enter)
    thread.start()
    with moot.gate(name, 2).enter(timeout=LIMIT):
        assert inside.wait(LIMIT) and moot.gate(name, 2).info().size == 2
    thread.join(LIMIT)


def test_an_error_inside_a_gate_goes_before_that_of_leaving_it(face, one, name, caplog):
    client = face.connect(*one.addresses)
    with pytest.raises(ValueError, match="the block's own"), client.gate(name, 1).enter(timeout=LIMIT) as passage:
        client.close()
        raise ValueError("the block's own")
    assert f"{passage!r} was left by ValueError" in caplog.text


def test_what_is_held_stays_held_when_the_leader_dies(face, agents, name):
    cluster = agents(3)
    moot = face.connect(*cluster.addresses, client_ttl=LIMIT)
    work = moot.work_queue(name)
    work.put("x")
    with moot.lock(name, ttl=LIMIT) as held, work.claim(lease=LIMIT, timeout=LIMIT) as item:
        counter = moot.counter(name)
        for step in range(1, 40):
            if step == 10:
                cluster.leader().kill()
            assert counter.add() == step
        assert held.is_held and item.is_held
    assert work.stats().totals.completed == 1
