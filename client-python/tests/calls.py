"""The table of calls (`vectors/calls.json`) for Python: what each call of it is here, and how its answer is written there.

`sidecar/tests/calls` runs the same table with the Rust client.
"""

import json
from pathlib import Path

import folkmoot

TABLE = Path(__file__).resolve().parents[2] / "vectors/calls.json"


def stories():
    return json.loads(TABLE.read_text())["stories"]


def seconds(arguments, name):
    span = arguments.get(name)
    return None if span is None else span / 1000


def waiting(call):
    """What was not had in time is null in the table, and an exception here."""
    try:
        return call()
    except (folkmoot.Busy, folkmoot.Empty) as nothing:
        if nothing.code in ("busy", "timed-out", "empty"):
            return None
        raise


def kv_steps(steps):
    made = []
    for verb, key, *rest in steps:
        made.append(folkmoot.Operation(verb, key, *(text.encode() for text in rest)))
    return made


def kv_compares(compares):
    made = []
    for test, key, *rest in compares:
        bare = [value.encode() if isinstance(value, str) else value for value in rest]
        made.append(getattr(folkmoot.Compare, test.replace("-", "_"))(key, *bare))
    return made


def discard(set_, element):
    """Python's sets say nothing of it."""
    there = set_.contains(element)
    set_.discard(element)
    return there


def rest(stream):
    return list(stream)


#: Call to function of client, arguments and the thing it is called on.
CALLS = {
    "members": lambda moot, w, on: moot.members(w.get("name"), w.get("status"), w.get("tags")),
    "tags": lambda moot, w, on: moot.tags(w.get("set"), w.get("delete", ())),
    "join": lambda moot, w, on: moot.join(w["addresses"], w.get("replay", False)),
    "force_leave": lambda moot, w, on: moot.force_leave(w["node"], w.get("prune", False)),
    "coordinate": lambda moot, w, on: moot.coordinate(w["node"]),
    "stats": lambda moot, w, on: moot.stats(),
    "event": lambda moot, w, on: moot.event(w["name"], w.get("payload", b""), w.get("coalesce", True)),
    "stream": lambda moot, w, on: moot.stream(w["filter"]),
    "monitor": lambda moot, w, on: moot.monitor(w["level"]),
    "query": lambda moot, w, on: moot.query(
        w["name"],
        w.get("payload", b""),
        nodes=w.get("nodes", ()),
        tags=w.get("tags"),
        ack=w.get("ack", False),
        timeout=seconds(w, "timeout_ms"),
    ),
    "stream.next": lambda moot, w, on: next(on),
    "query.next": lambda moot, w, on: next(on),
    "watch.next": lambda moot, w, on: next(on),
    "query.rest": lambda moot, w, on: rest(on),
    "stream.stop": lambda moot, w, on: on.close(),
    "respond": lambda moot, w, on: moot.respond(w["id"], w.get("payload", b"")),
    "list_keys": lambda moot, w, on: moot.list_keys(),
    "install_key": lambda moot, w, on: moot.install_key(w["key"]),
    "use_key": lambda moot, w, on: moot.use_key(w["key"]),
    "remove_key": lambda moot, w, on: moot.remove_key(w["key"]),
    "kv.get": lambda moot, w, on: moot.kv.get(w["key"]),
    "kv.put": lambda moot, w, on: moot.kv.put(
        w["key"], w["value"], ttl=seconds(w, "ttl_ms"), session=w.get("session")
    ),
    "kv.compare_and_set": lambda moot, w, on: moot.kv.compare_and_set(w["key"], w["expected"], w["value"]),
    "kv.delete": lambda moot, w, on: moot.kv.delete(w["key"]),
    "kv.delete_prefix": lambda moot, w, on: moot.kv.delete_prefix(w["prefix"]),
    "kv.list": lambda moot, w, on: moot.kv.list(w["prefix"], after=w.get("after"), limit=w.get("limit", 0)),
    "kv.list_all": lambda moot, w, on: moot.kv.list_all(w["prefix"]),
    "kv.transaction": lambda moot, w, on: moot.kv.transaction(
        kv_compares(w["compares"]), kv_steps(w["then"]), kv_steps(w["else"])
    ),
    "watch": lambda moot, w, on: moot.watch(w["prefix"], w.get("after"), scope="key"),
    "counter.get": lambda moot, w, on: moot.counter(w["name"]).get(),
    "counter.set": lambda moot, w, on: moot.counter(w["name"]).set(w["value"]),
    "counter.add": lambda moot, w, on: moot.counter(w["name"]).add(w["by"]),
    "counter.delete": lambda moot, w, on: moot.counter(w["name"]).delete(),
    "set.add": lambda moot, w, on: moot.set(w["name"]).update(w["elements"]),
    "set.contains": lambda moot, w, on: moot.set(w["name"]).contains(w["element"]),
    "set.discard": lambda moot, w, on: discard(moot.set(w["name"]), w["element"]),
    "set.elements": lambda moot, w, on: moot.set(w["name"]).elements(),
    "set.length": lambda moot, w, on: moot.set(w["name"]).length(),
    "set.pop": lambda moot, w, on: moot.set(w["name"]).pop(),
    "set.remove": lambda moot, w, on: moot.set(w["name"]).remove(w["element"]),
    "list.elements": lambda moot, w, on: moot.list(w["name"]).elements(),
    "list.extend": lambda moot, w, on: moot.list(w["name"]).extend(w["elements"]),
    "list.find": lambda moot, w, on: moot.list(w["name"]).find(w["element"]),
    "list.get": lambda moot, w, on: moot.list(w["name"]).get(w["position"]),
    "list.insert": lambda moot, w, on: moot.list(w["name"]).insert(w["position"], w["element"]),
    "list.length": lambda moot, w, on: moot.list(w["name"]).length(),
    "list.pop": lambda moot, w, on: moot.list(w["name"]).pop(-1 if w["position"] is None else w["position"]),
    "list.remove": lambda moot, w, on: moot.list(w["name"]).remove(w["element"]),
    "list.set": lambda moot, w, on: moot.list(w["name"]).replace(w["position"], w["element"]),
    "list.sort": lambda moot, w, on: moot.list(w["name"]).sort(reverse=w["descending"]),
    "queue.put": lambda moot, w, on: moot.queue(w["name"], w.get("bound")).put(w["value"]),
    "queue.get": lambda moot, w, on: waiting(lambda: moot.queue(w["name"]).get(timeout=seconds(w, "wait_ms"))),
    "queue.info": lambda moot, w, on: moot.queue(w["name"]).info(),
    "priority_queue.put": lambda moot, w, on: moot.priority_queue(w["name"]).put(w["value"], w["priority"]),
    "priority_queue.get": lambda moot, w, on: waiting(
        lambda: moot.priority_queue(w["name"]).get(timeout=seconds(w, "wait_ms"))
    ),
    "priority_queue.info": lambda moot, w, on: moot.priority_queue(w["name"]).info(),
    "lock.acquire": lambda moot, w, on: waiting(
        lambda: moot.lock(w["name"], session=w.get("session")).acquire(seconds(w, "wait_ms"))
    ),
    "lock.info": lambda moot, w, on: moot.lock(w["name"]).info(),
    "semaphore.acquire": lambda moot, w, on: waiting(
        lambda: moot.semaphore(w["name"], w["capacity"]).acquire(w["permits"], seconds(w, "wait_ms"))
    ),
    "semaphore.info": lambda moot, w, on: moot.semaphore(w["name"], w["capacity"]).info(),
    "rwlock.read": lambda moot, w, on: waiting(lambda: moot.rwlock(w["name"]).read(seconds(w, "wait_ms"))),
    "rwlock.write": lambda moot, w, on: waiting(lambda: moot.rwlock(w["name"]).write(seconds(w, "wait_ms"))),
    "guard.release": lambda moot, w, on: on.release(),
    "guard.is_held": lambda moot, w, on: on.is_held,
    "barrier.raise": lambda moot, w, on: moot.barrier(w["name"]).raise_(),
    "barrier.lift": lambda moot, w, on: moot.barrier(w["name"]).lift(),
    "barrier.wait": lambda moot, w, on: moot.barrier(w["name"]).wait(seconds(w, "wait_ms")),
    "barrier.info": lambda moot, w, on: moot.barrier(w["name"]).info(),
    "gate.enter": lambda moot, w, on: waiting(
        lambda: moot.gate(w["name"], w["count"]).enter(seconds(w, "wait_ms"))
    ),
    "passage.leave": lambda moot, w, on: on.leave(seconds(w, "wait_ms")),
    "session": lambda moot, w, on: moot.session(seconds(w, "ttl_ms")),
    "session.destroy": lambda moot, w, on: on.destroy(),
    "session.info": lambda moot, w, on: moot.session_info(w["session"]),
    "session.renew": lambda moot, w, on: moot.renew_session(w["session"]),
    "election.campaign": lambda moot, w, on: waiting(
        lambda: moot.election(w["name"], w["value"]).campaign(seconds(w, "wait_ms"))
    ),
    "election.info": lambda moot, w, on: moot.election(w["name"]).info(),
    "election.observe": lambda moot, w, on: moot.election(w["name"]).observe(),
    "term.proclaim": lambda moot, w, on: on.proclaim(w["value"]),
    "term.resign": lambda moot, w, on: on.resign(),
    "work.put": lambda moot, w, on: moot.work_queue(w["name"]).put(
        w["payload"],
        priority=w.get("priority", 0),
        dedupe=w.get("dedupe"),
        depends_on=w.get("depends_on", ()),
        max_attempts=w.get("max_attempts", 0),
        requires=w.get("requires", ()),
    ),
    "work.claim": lambda moot, w, on: waiting(
        lambda: moot.work_queue(w["name"]).claim(
            capabilities=w.get("capabilities", ()), timeout=seconds(w, "wait_ms")
        )
    ),
    "work.get": lambda moot, w, on: moot.work_queue(w["name"]).get(w["item"]),
    "work.cancel": lambda moot, w, on: moot.work_queue(w["name"]).cancel(w["item"]),
    "work.configure": lambda moot, w, on: moot.work_queue(w["name"]).configure(w["soft"], w["hard"]),
    "work.dead": lambda moot, w, on: moot.work_queue(w["name"]).dead(),
    "work.history": lambda moot, w, on: moot.work_queue(w["name"]).history(),
    "work.redrive": lambda moot, w, on: moot.work_queue(w["name"]).redrive(w["item"]),
    "work.stats": lambda moot, w, on: moot.work_queue(w["name"]).stats(),
    "item.complete": lambda moot, w, on: on.complete(w["result"]),
    "item.fail": lambda moot, w, on: on.fail(w["reason"], w["retry_after_ms"] / 1000),
    "item.release": lambda moot, w, on: on.release(),
    "group.status": lambda moot, w, on: moot.group.status(),
    "group.members": lambda moot, w, on: moot.group.members(),
    "group.add": lambda moot, w, on: moot.group.add(w["member"]),
    "group.remove": lambda moot, w, on: moot.group.remove(w["member"]),
    "group.promote": lambda moot, w, on: moot.group.promote(w["member"]),
    "group.demote": lambda moot, w, on: moot.group.demote(w["member"]),
    "group.transfer": lambda moot, w, on: moot.group.transfer(w["member"]),
}


#: Things that stay, and what of them the table shows.
KEPT = {
    "Held": ("token", "hold", "is_held"),
    "Term": ("token", "hold", "is_held"),
    "Item": ("id", "payload", "priority", "attempts", "token", "is_held"),
    "Session": ("id", "is_held"),
    "Passage": (),
}
STREAMS = {"Events", "Answers", "Lines", "Watch", "Leaders"}


def written(value):
    """An answer as the table has it."""
    kind = type(getattr(value, "_wrapped", value)).__name__
    if kind in STREAMS:
        return None
    if kind in KEPT:
        return {name: written(getattr(value, name)) for name in KEPT[kind]}
    if kind in RECORDS:
        return RECORDS[kind](value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: written(field) for name, field in value._asdict().items()}
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [written(each) for each in value]
    return value


def _member(member):
    host = f"[{member.address}]" if ":" in member.address else member.address
    return {**member._asdict(), "address": f"{host}:{member.port}"}


def _outcome(outcome):
    return {"put": "written", "get": written(outcome.entry), "delete": outcome.deleted}[outcome.verb]


RECORDS = {
    "Member": _member,
    "Swap": lambda swap: {"written": swap.revision, "found": written(swap.entry)},
    "Outcome": _outcome,
    "Ack": lambda ack: {"kind": "ack", "from": ack.node},
    "Answer": lambda answer: {"kind": "response", "from": answer.node, "payload": answer.payload.decode()},
    "Leader": lambda leader: {**leader._asdict(), "value": leader.value or ""},
    "SessionInfo": lambda info: {**info._asdict(), "ttl_ms": round(info.ttl * 1000)},
    "WorkEnd": lambda end: {**end._asdict(), "result": end.result or ""},
}


def word(error):
    """The table's word for a failure. Python's own exceptions have ours as their cause."""
    ours = error if isinstance(error, folkmoot.FolkmootError) else error.__cause__
    return "overloaded" if ours is None else ours.code


class Story:
    """One story of the table, told to one client."""

    def __init__(self, moot, prebound):
        self._moot = moot
        self._bound = dict(prebound)
        self._kept = {}

    def step(self, step):
        arguments = self._filled(step.get("with", {}))
        on = self._kept[step["on"]] if "on" in step else None
        try:
            answer = CALLS[step["call"]](self._moot, arguments, on)
        except (folkmoot.FolkmootError, LookupError, ValueError) as error:
            assert "fails" in step, f"{step}: {error!r}"
            assert word(error) == step["fails"], f"{step}: {error!r}"
            assert step.get("text", str(error)) in str(error), f"{step}: {error!r}"
            return
        assert "is" in step, f"{step}: {written(answer)!r} and no failure"
        if "as" in step:
            self._kept[step["as"]] = answer
        shown = written(answer)
        assert self._fits(step["is"], shown), f"{step}: {shown!r}, bound {self._bound}"

    def _filled(self, value):
        """With `$NAME` replaced by what it stands for, and the name of a session that is kept by itself."""
        if isinstance(value, dict) and set(value) == {"$repeat"}:
            text, times = value["$repeat"]
            return text * times
        if isinstance(value, dict):
            filled = {name: self._filled(each) for name, each in value.items()}
            if filled.get("session") in self._kept:
                filled["session"] = self._kept[filled["session"]]
            return filled
        if isinstance(value, list):
            return [self._filled(each) for each in value]
        if isinstance(value, str) and value.startswith("$"):
            return self._bound[value]
        return value

    def _fits(self, pattern, value):
        if isinstance(pattern, str) and pattern.startswith("$"):
            if pattern == "$any":
                return True
            return self._bound.setdefault(pattern, value) == value
        if isinstance(pattern, dict):
            return isinstance(value, dict) and all(
                name in value and self._fits(each, value[name]) for name, each in pattern.items()
            )
        if isinstance(pattern, list):
            return len(pattern) == len(value) and all(map(self._fits, pattern, value))
        return type(pattern) is type(value) and pattern == value
