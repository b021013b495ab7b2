"""Every Python block of the documentation and every example of a docstring runs, against a real agent.

In pages, the blocks of one page share their names, from top to bottom; ``await`` is allowed. `127.0.0.1:7373` becomes the
address of the test's agent. Of blocks for a shell (`sh`, `console`), each call of the program is one that it knows, with flags
that it knows, and each file that is run is there.
"""

import ast
import asyncio
import inspect
import re
import shlex
import subprocess
import textwrap

import folkmoot
import folkmoot.aio
import folkmoot.testing
import pytest
from conftest import ROOT
from folkmoot import _program

PAGES = [
    ROOT / "docs/python.md",
    ROOT / "client-python/README.md",
    *sorted((ROOT / "docs/migrating").glob("*.md")),
]
#: Where the program is called, or files of the repository are.
SHELL_PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *PAGES[1:],
    ROOT / "README.md",
    ROOT / "examples/orchestrator/README.md",
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


def shell_lines(page):
    """The lines of the blocks for a shell, each command by itself, in words."""
    for match in FENCE.finditer(page.read_text()):
        if match[1] in ("sh", "console"):
            for line in match[2].replace("\\\n", " ").splitlines():
                for command in re.split(r"&&|\|", line):
                    words = shlex.split(command, comments=True)
                    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                        words.pop(0)
                    if words:
                        yield words


def calls_of_the_program():
    for page in SHELL_PAGES:
        for words in shell_lines(page):
            if words[:3] == ["python", "-m", "folkmoot"]:
                words = words[2:]
            if words[0] in ("folkmoot", "target/debug/folkmoot"):
                own = words[1 : words.index("--")] if "--" in words else words[1:]
                yield pytest.param(own, id=f"{page.name}: {' '.join(own)}")


@pytest.mark.parametrize("words", list(calls_of_the_program()))
def test_a_call_of_the_program_in_a_page_is_one_that_it_knows(words):
    flags = [word for word in words if word.startswith("-")]
    names = [word for word in words[:2] if re.fullmatch("[a-z-]+", word) and not word.startswith("-")]
    usage = help_of(names) or help_of(names[:1])
    assert usage, words
    for flag in flags:
        assert re.search(rf"^  {re.escape(flag.split('=')[0])}\b", usage, re.MULTILINE), flag


def help_of(names):
    """The program's help of a command; nothing if there is none of these names."""
    asked = subprocess.run([_program.find(), *names, "-h"], capture_output=True, text=True, check=False)
    usage = asked.stdout + asked.stderr
    return usage if usage.startswith(f"Usage: folkmoot {' '.join(names)} ") else ""


@pytest.mark.parametrize("page", SHELL_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_runs_are_there(page):
    for words in shell_lines(page):
        if "/" in words[0] and not words[0].startswith("target/"):
            assert (ROOT / words[0]).exists(), words
        if words[0] == "make":
            assert re.search(rf"^{re.escape(words[1])}:", (ROOT / "Makefile").read_text(), re.MULTILINE), words


def test_there_are_calls_of_the_program():
    assert len(list(calls_of_the_program())) > 10


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
