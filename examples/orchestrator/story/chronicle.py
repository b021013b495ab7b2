"""What became of every task, as the group itself tells it, and whether that is as it has to be. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, List, Set, Tuple

from orchestrator.plans import Task

#: States in which an item waits for a worker; and those it has behind it, which change no more.
READY, CLAIMED, COMPLETED = "ready", "claimed", "completed"


@dataclass
class Chronicle:
    """Follows the states of items, in the order in which the group changed them, and notes what must not be."""

    #: Of each item: how often it was claimed and how often completed.
    claims: Counter[int] = field(default_factory=Counter)
    completions: Counter[int] = field(default_factory=Counter)
    #: The tasks, by item.
    tasks: Dict[int, Task] = field(default_factory=dict)
    #: The states, by item.
    states: Dict[int, str] = field(default_factory=dict)
    #: All changes, in their order.
    changes: List[Tuple[int, str]] = field(default_factory=list)
    #: Items in the order of their completion.
    order: List[int] = field(default_factory=list)
    #: What must not have happened.
    faults: List[str] = field(default_factory=list)

    def follow(self, item: int, state: str) -> None:
        """The item has this state from here on."""
        before = self.states.get(item)
        self.changes.append((item, state))
        if before in (COMPLETED, "cancelled", "dead"):
            self.faults.append(f"item {item} was {before} and is {state}")
        if state == CLAIMED:
            if before == CLAIMED:
                self.faults.append(f"item {item} was claimed by two at once")
            self.claims[item] += 1
        if state == COMPLETED:
            if before != CLAIMED:
                self.faults.append(f"item {item} was {before} when it was completed")
            self.completions[item] += 1
            self.order.append(item)
        self.states[item] = state

    def judge(self) -> None:
        """Whether every task was completed, once, behind those it depends on, and none was claimed while one that is more
        urgent was ready."""
        self._judge_completions()
        self._judge_order_of_claims()

    def _judge_order_of_claims(self) -> None:
        ready: Set[int] = set()
        for item, state in self.changes:
            ready.discard(item)
            if state == READY:
                ready.add(item)
            if state == CLAIMED and item in self.tasks:
                # What needs more than every worker has may have to wait for one that has it.
                rivals = [self.tasks[other] for other in ready if other in self.tasks and not self.tasks[other].requires]
                urgent = [rival.name for rival in rivals if rival.priority > self.tasks[item].priority]
                if urgent:
                    self.faults.append(f"{self.tasks[item].name} was claimed before {urgent}, which are more urgent")

    def _judge_completions(self) -> None:
        places = {self.tasks[item].name: place for place, item in enumerate(self.order) if item in self.tasks}
        for item, task in self.tasks.items():
            if self.completions[item] != 1:
                self.faults.append(f"{task.name} was completed {self.completions[item]} times")
            late = [name for name in task.after if places.get(name, len(places)) > places.get(task.name, 0)]
            if late:
                self.faults.append(f"{task.name} was completed before {late}")
        names = [task.name for task in self.tasks.values()]
        for name, count in Counter(names).items():
            if count > 1:
                self.faults.append(f"{name} was queued {count} times")
        unknown: Set[int] = set(self.states) - set(self.tasks)
        if unknown:
            self.faults.append(f"items {sorted(unknown)} belong to no task")
