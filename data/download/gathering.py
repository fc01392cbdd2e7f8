"""The pictures that have come so far: a small zip that grows, picture by picture, in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from data.base.errors import DataError
from data.base.progress import Progress
from data.containers.stored_zip import Stored, directory, header, member_bytes, read_stored
from data.download.choice import Wanted
from data.download.resume import Part
from data.download.transfer import no_room


class Gathering:
    """A part that begins with the first of the wanted pictures, whole; a kill loses only the one being written."""

    def __init__(self, part: Part, file: str, progress: Progress) -> None:
        self.part, self.file, self.progress = part, file, progress
        self.members: list[Stored] = []
        self.wanted: Sequence[Wanted] = ()
        self.total, self.note = 0, ""

    def resume(self, wanted: Sequence[Wanted]) -> Sequence[Wanted]:
        """Keep what is here of these, in their order, and drop the rest; returns those still to come.

        DataError where there is no room for them.
        """
        self.wanted, self.members = wanted, []
        for picture in wanted:
            member = read_stored(self._read, self.members[-1].end if self.members else 0)
            if member is None or not _is(member, picture):
                break
            self.members.append(member)
            self.tell("checking what has arrived")
        self.part.cut(self.members[-1].end if self.members else 0)
        self.part.recall()
        self.total = sum(member_bytes(name, size) for name, size, _ in wanted if size is not None)
        if why := no_room(self.part.path.parent, self.total - self.part.size):
            raise DataError(f"{self.file}: {why}")
        return wanted[len(self.members) :]

    def add(self, contents: Iterable[bytes], note: str) -> None:
        """Put the next pictures behind those that are here."""
        for content in contents:
            name, start = self.wanted[len(self.members)].name, self.part.size
            head = header(name, content)
            self.part.write(head)
            self.part.write(content)
            crc = int.from_bytes(head[14:18], "little")
            self.members.append(Stored(name.encode(), crc, len(content), start, self.part.size))
            self.tell(note)

    def close(self, comment: bytes = b"") -> None:
        """Every picture is here: write the zip's directory."""
        self.part.write(directory(self.members, comment))

    def tell(self, note: str) -> None:
        count = f"{len(self.members):,} of {len(self.wanted):,} pictures"
        self.progress(self.members[-1].end if self.members else 0, self.total, f"{count}, {note}")

    def _read(self, offset: int, length: int) -> bytes:
        return os.pread(self.part.file.fileno(), length, offset)


def _is(member: Stored, picture: Wanted) -> bool:
    return member.name == picture.name.encode() and (
        picture.crc is None or (member.crc, member.size) == (picture.crc, picture.size)
    )
