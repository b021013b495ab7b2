"""Plans, and the tasks they consist of. Pure: no network, no clock."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Iterator, Tuple

#: Work queue of all plans.
QUEUE = "tasks"
#: Attempts after which a task is given up.
ATTEMPTS = 20


@dataclass(frozen=True)
class Plan:
    """For each of its models: self-play, a training on what was played, two evaluations, a publication."""

    name: str
    models: int
    #: Self-play tasks of a model.
    rounds: int
    #: Games of one task.
    games: int
    #: Whether somebody has to approve the publication of the first model.
    approval: bool = False

    def __post_init__(self) -> None:
        if not self.name or "/" in self.name:
            raise ValueError("name: one to a hundred characters without '/'")
        for field, value, most in [("models", self.models, 80), ("rounds", self.rounds, 60), ("games", self.games, 10**6)]:
            if not 1 <= value <= most:
                raise ValueError(f"{field}: {value} is not between 1 and {most}")

    @property
    def opening(self) -> str:
        """Barrier that is up until all tasks of the plan are queued."""
        return f"opening/{self.name}"

    @property
    def approving(self) -> str:
        """Barrier that is up until somebody approves."""
        return f"approval/{self.name}"

    def tasks(self) -> Iterator[Task]:
        """All of them, each behind those it depends on. Nothing runs before the first one, which opens the plan."""
        opening = Task(f"{self.name}/open", "open", self, 0, 0, 100, ())
        yield opening
        for model in range(self.models):
            prefix, priority = f"{self.name}/m{model}", max(20, 80 - model)
            plays = [
                Task(f"{prefix}/selfplay-{number}", "selfplay", self, model, number, priority, (opening.name,))
                for number in range(self.rounds)
            ]
            yield from plays
            train = Task(f"{prefix}/train", "train", self, model, 0, priority + 10, tuple(play.name for play in plays))
            yield train
            evaluations = [
                Task(f"{prefix}/evaluate-{number}", "evaluate", self, model, number, priority + 5, (train.name,))
                for number in range(2)
            ]
            yield from evaluations
            names = tuple(evaluation.name for evaluation in evaluations)
            yield Task(f"{prefix}/publish", "publish", self, model, 0, priority + 15, names)

    def to_json(self) -> Any:
        """For the API, and to be kept."""
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """One work item."""

    name: str
    #: ``open``, ``selfplay``, ``train``, ``evaluate`` or ``publish``.
    kind: str
    plan: Plan
    model: int
    number: int
    priority: int
    #: Names of tasks that have to be completed before.
    after: Tuple[str, ...]

    @property
    def requires(self) -> Tuple[str, ...]:
        """What its worker has to be capable of."""
        return ("gpu",) if self.kind == "train" else ()

    @property
    def model_name(self) -> str:
        """Of the model it works on."""
        return f"{self.plan.name}-m{self.model}"

    def to_json(self) -> Any:
        """The payload of its work item."""
        return asdict(self)

    @staticmethod
    def from_json(payload: Any) -> Task:
        """The task of a work item."""
        plan = Plan(**payload["plan"])
        return Task(**{**payload, "plan": plan, "after": tuple(payload["after"])})


@dataclass(frozen=True)
class Stored:
    """A plan as the group keeps it under ``plans/NAME``."""

    plan: Plan
    #: All its tasks are in the queue.
    queued: bool

    #: Where plans are kept.
    PREFIX = "plans/"

    @property
    def key(self) -> str:
        """Its key."""
        return self.PREFIX + self.plan.name

    def to_bytes(self) -> bytes:
        """Its value."""
        return json.dumps({"plan": self.plan.to_json(), "queued": self.queued}).encode()

    @staticmethod
    def from_bytes(value: bytes) -> Stored:
        """From its value."""
        said = json.loads(value)
        return Stored(Plan(**said["plan"]), said["queued"])
