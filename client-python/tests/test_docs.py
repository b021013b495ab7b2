"""Every Python block of the documentation and every example of a docstring runs, against a real agent.

In pages, the blocks of one page share their names, from top to bottom; ``await`` is allowed. Blocks of other kinds (`sh`,
`console`) are not run. `127.0.0.1:7373` becomes the address of the test's agent.
"""

import ast
import asyncio
import inspect
import re
import textwrap

import folkmoot
import folkmoot.aio
import folkmoot.testing
import pytest
from conftest import ROOT

PAGES = [
    ROOT / "docs/python.md",
    ROOT / "client-python/README.md",
    *sorted((ROOT / "docs/migrating").glob("*.md")),
]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEFAULT = "127.0.0.1:7373"


class Runner:
    """Runs pieces of Python, with top-level ``await``, in one namespace and one event loop."""

    def __init__(self, address, **names):
        self._address = address
        self._names = {"__name__": "__docs__", "folkmoot": folkmoot, **names}
        self._loop = asyncio.new_event_loop()

    def run(self, source, where, line=1):
        tree = ast.parse(source.replace(DEFAULT, self._address), where)
        ast.increment_lineno(tree, line - 1)
        code = compile(tree, where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, self._names)  # noqa: S307
        if inspect.iscoroutine(outcome):
            self._loop.run_until_complete(asyncio.wait_for(outcome, 120))

    def wait(self, coroutine):
        return self._loop.run_until_complete(coroutine)

    def close(self):
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


def blocks(page):
    """The Python blocks of a page, with the line at which each begins."""
    text = page.read_text()
    for match in FENCE.finditer(text):
        if match[1] == "python":
            yield match[2], text.count("\n", 0, match.start()) + 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_blocks_of_a_page_run(agents, page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pieces = list(blocks(page))
    assert pieces, f"{page} has no Python block"
    runner = Runner(agents(nodes=1).nodes[0].address)
    try:
        for source, line in pieces:
            runner.run(source, str(page), line)
    finally:
        runner.close()


def examples(text):
    """The blocks behind ``Example::`` in a docstring."""
    for match in re.finditer(r"^ *Example::\n\n((?:(?: {4,}[^\n]*)?\n)+)", text + "\n", re.MULTILINE):
        yield textwrap.dedent(match[1])


def documented():
    """Everything of the package that has a docstring of its own."""
    for face in (folkmoot, folkmoot.aio, folkmoot.testing):
        yield face.__name__, face.__doc__
        for name in getattr(face, "__all__", ["cluster"]):
            thing = getattr(face, name)
            if not getattr(thing, "__module__", "").startswith("folkmoot"):
                continue
            yield f"{face.__name__}.{name}", thing.__doc__
            for call, attribute in vars(thing).items() if inspect.isclass(thing) else ():
                if inspect.isfunction(attribute) and not call.startswith("_"):
                    yield f"{face.__name__}.{name}.{call}", attribute.__doc__


EXAMPLES = [
    pytest.param(name, example, id=name)
    for name, text in documented()
    for example in examples(inspect.cleandoc(text or ""))
]


def test_there_are_examples_in_both_faces():
    names = [case.id for case in EXAMPLES]
    for name in ("folkmoot.Lock", "folkmoot.aio.Lock", "folkmoot.Client.stream", "folkmoot.aio.connect", "folkmoot.Dict"):
        assert name in names


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_an_example_runs(one, name, example):
    address = one.addresses[0]
    runner = Runner(address, Compare=folkmoot.Compare, Operation=folkmoot.Operation)
    aio = name.startswith("folkmoot.aio")
    moot = runner.wait(connected(address)) if aio else folkmoot.connect(address)
    try:
        runner._names["moot"] = moot
        runner.run(example, name)
    finally:
        if aio:
            runner.wait(moot.close())
        else:
            moot.close()
        runner.close()


async def connected(address):
    return await folkmoot.aio.connect(address)
