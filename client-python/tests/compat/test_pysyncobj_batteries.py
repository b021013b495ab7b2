"""Every battery beside PySyncObj's own."""

from __future__ import annotations

from typing import Any, Callable, Dict

import pytest

from compat.objects import Made
from compat.originals import batteries as originals
from waiting import LIMIT_S
from folkmoot.compat.pysyncobj import SyncObj, batteries
from folkmoot.compat.pysyncobj.batteries import ReplDict, ReplList

SCRIPTS: Dict[str, Any] = {
    "ReplCounter": [("set", 5), ("add", 3), ("sub", 1.5), ("inc",), ("add", "x"), ("get",)],
    "ReplList": [
        ("reset", [3, 1]), ("append", 2), ("extend", [5, 4]), ("insert", 0, 9), ("set", 1, 7), ("set", 99, 0),
        ("remove", 9), ("remove", 100), ("pop", 0), ("pop", 50), ("sort",), ("sort", True), ("__setitem__", 0, 8),
        ("index", 8), ("index", 100), ("count", 5), ("get", 1), ("__getitem__", 0), ("__len__",), ("reset", 7),
    ],
    "ReplDict": [
        ("reset", {"a": 1}), ("__setitem__", "b", 2), ("set", "c", 3), ("setdefault", "c", 4), ("setdefault", "d", 5),
        ("update", {"e": 6}), ("pop", "a"), ("pop", "z"), ("pop", "z", 7), ("get", "b"), ("get", "z"), ("get", "z", 1),
        ("__getitem__", "z"), ("__contains__", "b"), ("__len__",), ("clear",), ("__len__",), ("reset", []),
    ],
    "ReplSet": [
        ("reset", {1, 2}), ("add", 3), ("remove", 1), ("remove", 9), ("discard", 9), ("update", {7, 8}),
        ("__contains__", 7), ("__len__",), ("clear",), ("pop",), ("add", 5), ("pop",), ("__len__",), ("reset", [1]),
    ],
    "ReplQueue": [
        ("put", 1), ("put", 2), ("put", 3), ("full",), ("qsize",), ("get",), ("__len__",), ("get",), ("empty",),
        ("get",), ("get", "none"), ("empty",),
    ],
    "ReplPriorityQueue": [
        ("put", 2), ("put", 1), ("put", 0), ("full",), ("qsize",), ("get",), ("put", 0), ("get",), ("get",), ("get",),
        ("get", "none"), ("empty",),
    ],
}  # fmt: skip


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return type(error)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_every_method_of_every_battery_gives_what_pysyncobj_gives(made: Made, name: str) -> None:
    arguments = (2,) if "Queue" in name else ()
    original, ours = getattr(originals, name)(*arguments), getattr(batteries, name)(*arguments)
    syncobj = made.make(SyncObj, consumers=[ours])
    used = set()
    for method, *given in SCRIPTS[name]:
        changes = hasattr(getattr(type(ours), method), "versions")
        used.add(method)
        expected = outcome(lambda: getattr(original, method)(*given, **({"_doApply": True} if changes else {})))
        result = outcome(lambda: getattr(ours, method)(*given, **({"sync": True, "timeout": LIMIT_S} if changes else {})))
        assert result == expected, (method, given)
        if hasattr(ours, "rawData"):
            assert ours.rawData() == original.rawData(), (method, given)
    public = {each for each in dir(originals.SyncObjConsumer) if not each.startswith("__")}
    methods = {each for each in dir(type(original)) if not each.startswith("_") and not each[-1].isdigit()}
    assert methods - public - {"rawData", "keys", "values", "items"} <= used, "every method was compared"
    assert syncobj.isReady()


def test_views_of_a_dict_and_the_last_of_a_list(made: Made) -> None:
    dictionary, items = ReplDict(), ReplList()
    made.make(SyncObj, consumers=[dictionary, items])
    dictionary.update({"a": 1, "b": 2}, sync=True)
    assert (list(dictionary), list(dictionary.keys()), list(dictionary.values())) == (["a", "b"], ["a", "b"], [1, 2])
    del dictionary["a"]
    items.extend([1, 2, 3], sync=True)
    assert dict(dictionary.items()) == {"b": 2}
    # PySyncObj's pop() without a position raises TypeError, against its documentation.
    assert items.pop(sync=True) == 3
