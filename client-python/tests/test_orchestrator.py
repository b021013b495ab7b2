"""The story of examples/orchestrator in short: the same faults, fewer tasks, a shorter pause. And that its judge sees."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import List, Tuple

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "orchestrator"
sys.path.insert(0, str(EXAMPLE))

from orchestrator.plans import Plan, Task  # noqa: E402
from story.chronicle import Chronicle  # noqa: E402

#: Seconds above what the story takes on a busy machine: each of its own waits has an end before.
LIMIT = 1500


def test_every_task_is_completed_once_whatever_is_killed_paused_or_cut_off() -> None:
    words = [str(EXAMPLE / "run"), "--models=2", "--rounds=2", "--games=100", "--pause=12", "--lease=4"]
    told = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}"
    assert "\nall is well" in told.stdout, told.stdout
    assert " 65  completed, each once" in told.stdout, told.stdout


def judged(changes: List[Tuple[int, str]]) -> List[str]:
    """What the judge says of three tasks: 1 opens the plan, 2 is urgent, 3 is less so, and both depend on 1."""
    plan = Plan("p", models=1, rounds=2, games=1)
    chronicle = Chronicle()
    for item, priority in [(1, 100), (2, 80), (3, 20)]:
        after = ("t1",) if item > 1 else ()
        chronicle.tasks[item] = Task(f"t{item}", "selfplay", plan, 0, item, priority, after)
    for item, state in changes:
        chronicle.follow(item, state)
    chronicle.judge()
    return chronicle.faults


WELL = [(1, "ready"), (1, "claimed"), (2, "blocked"), (3, "blocked"), (1, "completed"), (2, "ready"), (3, "ready")]
WELL += [(2, "claimed"), (3, "claimed"), (3, "ready"), (3, "claimed"), (2, "completed"), (3, "completed")]


def test_the_judge_is_content_with_a_task_that_went_back_once() -> None:
    assert judged(WELL) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (WELL[:-1], "t3 was completed 0 times"),
        ([*WELL, (2, "completed")], "item 2 was completed and is completed"),
        ([*WELL[:9], (3, "claimed"), *WELL[10:]], "item 3 was claimed by two at once"),
        ([*WELL[:7], (3, "claimed"), (2, "claimed"), *WELL[11:]], "t3 was claimed before ['t2']"),
        ([(2, "claimed"), (2, "completed"), *WELL[:7], *WELL[8:11], WELL[12]], "t2 was completed before ['t1']"),
        ([*WELL, (4, "ready")], "items [4] belong to no task"),
    ],
)
def test_the_judge_sees(changes: List[Tuple[int, str]], words: str) -> None:
    assert any(words in fault for fault in judged(changes)), judged(changes)
