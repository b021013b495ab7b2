# Made from folkmoot/aio/_group.py by scripts/python-faces. Change that one.
"""The Raft group itself: what it is, who belongs to it, backup and restore."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, BinaryIO, List, Optional, Union

from .. import _reading
from ..results import GroupMember, GroupStatus
from ._bridge import blocking, complete
from ._common import at
from ._streams import Stream

if TYPE_CHECKING:
    from .._folkmoot import Core


class Group:
    """The group of agents that keeps everything. Changes of members raise :class:`folkmoot.NotPossible` where the quorum
    would be lost, or there is no such member.

    Example::

        status = moot.group.status()
        print(status.quorum, [member.name for member in moot.group.members()])
    """

    def __init__(self, core: Core) -> None:
        self._core = core

    def status(self, *, timeout: Optional[float] = None) -> GroupStatus:
        """What the member that this agent is knows, or the leader where it is none. Raises :class:`folkmoot.NoGroup`."""
        return _reading.group_status(complete(at(self._core, timeout).group_status()))

    def members(self, *, timeout: Optional[float] = None) -> List[GroupMember]:
        """The members, as the leader sees them; voters first."""
        return _reading.group_members(complete(at(self._core, timeout).group_members()))

    def add(self, member: str, *, timeout: Optional[float] = None) -> None:
        """Takes a ``-raft`` node in, without a vote. ``member`` is its name in gossip or its number, here and below."""
        complete(at(self._core, timeout).group_add(member))

    def remove(self, member: str, *, timeout: Optional[float] = None) -> None:
        """Takes a member out for good."""
        complete(at(self._core, timeout).group_remove(member))

    def promote(self, member: str, *, timeout: Optional[float] = None) -> None:
        """Gives a member a vote."""
        complete(at(self._core, timeout).group_promote(member))

    def demote(self, member: str, *, timeout: Optional[float] = None) -> None:
        """Takes a member's vote."""
        complete(at(self._core, timeout).group_demote(member))

    def transfer(self, member: Optional[str] = None, *, timeout: Optional[float] = None) -> None:
        """Makes another member lead; ``None``: whichever is most up to date."""
        complete(at(self._core, timeout).group_transfer(member))

    def backup(self, file: Union[str, os.PathLike[str], BinaryIO], *, timeout: Optional[float] = None) -> int:
        """Writes the whole state into a file, which is a backup only when this returns; its bytes.

        A file that is named is written beside it first (``.part``), and takes its name when all of it is on disk.
        """
        if not isinstance(file, (str, os.PathLike)):
            return self._write(file, timeout)
        part = f"{os.fspath(file)}.part"
        try:
            with open(part, "wb") as beside:
                size = self._write(beside, timeout)
                blocking(_to_disk, beside)
            os.replace(part, file)
        except BaseException:
            with contextlib.suppress(OSError):
                os.remove(part)
            raise
        return size

    def _write(self, file: BinaryIO, timeout: Optional[float]) -> int:
        size = 0
        pieces: Stream[bytes] = Stream(complete(at(self._core, timeout).group_backup()), bytes)
        with pieces:
            for piece in pieces:
                blocking(_write_all, file, piece)
                size += len(piece)
        return size

    def restore(
        self, file: Union[str, os.PathLike[str]], *, other_group: bool = False, timeout: Optional[float] = None
    ) -> int:
        """Puts a backup in place of the state; the revision that the group goes on from. Watches bring a
        :class:`folkmoot.Resync`. ``other_group`` allows a backup of another group.

        Raises :class:`folkmoot.NotPossible` if it is no backup, damaged, or another group's; :class:`folkmoot.ReadError`.
        Nothing is changed then.
        """
        return complete(at(self._core, timeout).group_restore(os.fspath(file), other_group))


def _write_all(file: BinaryIO, piece: bytes) -> None:
    rest = memoryview(piece)
    while rest:
        # A file without a buffer may take less than it is given.
        rest = rest[file.write(rest) :]


def _to_disk(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
