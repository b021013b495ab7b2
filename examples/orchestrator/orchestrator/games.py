"""The work itself: noughts and crosses, played at random and learned from. Pure, and the same for the same seed."""

from __future__ import annotations

import random
from typing import Dict, List, Optional, Sequence, Tuple

LINES = [(0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6)]

#: For each opening square: games that began there, and how many of them the beginner won.
Record = List[Tuple[int, int]]


def play(games: int, seed: str, opening: Optional[int] = None) -> Record:
    """Plays games of which both sides move at random behind the opening, which is random too where none is given."""
    dice = random.Random(seed)
    record = [(0, 0)] * 9
    for _ in range(games):
        first = dice.randrange(9) if opening is None else opening
        played, won = record[first]
        record[first] = (played + 1, won + _beginner_wins(dice, first))
    return record


def train(records: Sequence[Record]) -> Dict[str, float]:
    """A model: the share of games won, by opening square."""
    sums = [(sum(played), sum(won)) for played, won in (zip(*column) for column in zip(*records))]
    return {str(square): won / played for square, (played, won) in enumerate(sums) if played}


def best_opening(model: Dict[str, float]) -> int:
    """The square a model begins with."""
    return int(max(sorted(model), key=lambda square: model[square]))


def _beginner_wins(dice: random.Random, first: int) -> bool:
    board = [0] * 9
    free = [square for square in range(9) if square != first]
    dice.shuffle(free)
    for turn, square in enumerate([first, *free]):
        side = 1 if turn % 2 == 0 else -1
        board[square] = side
        if any(board[a] == board[b] == board[c] == side for a, b, c in LINES):
            return side == 1
    return False
