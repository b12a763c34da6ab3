"""Many packed skills in one file, opened as requests come in.

``skills.bin`` holds the blobs one after the other, ``index.json`` says where each stands. Nothing written is
ever changed: a skill that is stored again is appended, and the index, replaced in one step at the end,
points to its newest blob. A process that dies while writing leaves some unused bytes, no more; readers
that hold the older index go on as they were. Taught in chapter 1, *Shared and local embeddings*.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from slubook.ch1_skills.vectors import VectorTable
from slubook.files import write_atomically
from slubook.serving.packed import PackedSkill, StoreError

DATA, INDEX = "skills.bin", "index.json"
FORMAT = 1
#: Skills start at multiples of this, so that reading one touches none of its neighbours' pages.
PAGE = 4096


@dataclass(frozen=True)
class Stored:
    """A folder of packed skills: which there are and where.

    Attributes:
        folder: holds ``skills.bin`` and ``index.json``.
        places: skill → (offset, length, CRC-32) of its blob.
        end: the first byte of ``skills.bin`` that is not in use.
    """

    folder: Path
    places: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    end: int = 0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The index of a store.

        Raises:
            StoreError: when there is no store, or its files do not fit each other.
        """
        try:
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            if index["format"] != FORMAT:
                raise StoreError(f"{folder}: a store of format {index['format']}, not {FORMAT}: write it again")
            places = {name: tuple(place) for name, place in index["skills"].items()}
            size = (folder / DATA).stat().st_size
        except FileNotFoundError as error:
            raise StoreError(f"{folder} holds no skill store ({error.filename} is missing): write one first") from error
        except (KeyError, TypeError, json.JSONDecodeError) as error:
            raise StoreError(f"{folder / INDEX}: not an index of skills ({error}): write the store again") from error
        if size < index["end"]:
            raise StoreError(
                f"{folder / DATA} has {size:,} bytes, its index needs {index['end']:,}: it was cut short, "
                "so copy or write it again"
            )
        return cls(folder, places, index["end"])


def append(folder: Path, blobs: Iterable[tuple[str, bytes]]) -> Stored:
    """Add skills to a store, or found it; none is there before all are. One writer at a time.

    Args:
        folder: of the store; made when missing.
        blobs: skill ids and packed skills. An id that the store knows gets the new blob.

    Raises:
        StoreError: when the store that is there is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = Stored.read(folder) if (folder / INDEX).exists() else Stored(folder)
    places, end = dict(before.places), before.end
    with open(folder / DATA, "r+b" if (folder / DATA).exists() else "w+b") as file:
        for name, blob in blobs:
            start = -(-end // PAGE) * PAGE
            file.seek(start)
            file.write(blob)
            places[name], end = (start, len(blob), zlib.crc32(blob)), start + len(blob)
        file.truncate(end)
        file.flush()
        os.fsync(file.fileno())
    write_atomically(folder / INDEX, json.dumps({"format": FORMAT, "end": end, "skills": places}))
    return Stored(folder, places, end)


class SkillStore:
    """Skills ready to answer: the most recently used are kept open, within a number of bytes.

    Attributes:
        stored: the index.
        hits: requests whose skill was open.
        misses: requests whose skill had to be read.
        open_bytes: memory of the open skills.
    """

    def __init__(self, folder: Path, table: VectorTable, capacity: int = 2**30) -> None:
        """Map the file of a store.

        Args:
            folder: of the store.
            table: the one generic table of all its skills.
            capacity: bytes that open skills may take together; the last one used stays open even above it.

        Raises:
            StoreError: when there is no store, or its files do not fit each other.
        """
        self.stored = Stored.read(folder)
        self.table, self.capacity = table, capacity
        self.hits = self.misses = self.open_bytes = 0
        self._open: OrderedDict[str, tuple[PackedSkill, int]] = OrderedDict()
        with open(folder / DATA, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self.stored.end else None

    def skill(self, name: str) -> PackedSkill:
        """The skill, opened if need be; the least recently used ones make room for it.

        Raises:
            StoreError: when the store does not know it, or its bytes are damaged or over another table.
        """
        if name in self._open:
            self.hits += 1
            self._open.move_to_end(name)
            return self._open[name][0]
        blob = self.blob(name)
        try:
            skill = PackedSkill(blob, self.table)
        except StoreError as error:
            raise StoreError(f"skill {name!r} in {self.stored.folder}: {error}") from error
        self.misses += 1
        self._open[name] = skill, skill.nbytes
        self.open_bytes += skill.nbytes
        while self.open_bytes > self.capacity and len(self._open) > 1:
            _, (_, freed) = self._open.popitem(last=False)
            self.open_bytes -= freed
        return skill

    def blob(self, name: str) -> bytes:
        """The packed bytes of a skill, copied out of the mapped file, whose pages are then let go.

        Raises:
            StoreError: when the store does not know it, or its bytes are not those that were stored.
        """
        if (place := self.stored.places.get(name)) is None:
            raise StoreError(f"skill {name!r} is not among the {len(self)} of {self.stored.folder}: pack and append it")
        start, length, checksum = place
        self._advise("MADV_WILLNEED", start, length)  # one long read instead of many short ones
        blob = self._map[start : start + length]
        self._advise("MADV_DONTNEED", start, length)
        if zlib.crc32(blob) != checksum:
            raise StoreError(f"skill {name!r} in {self.stored.folder} is damaged: pack and append it again")
        return blob

    def _advise(self, advice: str, start: int, length: int) -> None:
        if hasattr(mmap, advice):  # Windows has none
            page = start - start % mmap.PAGESIZE
            self._map.madvise(getattr(mmap, advice), page, start + length - page)

    def __contains__(self, name: object) -> bool:
        return name in self.stored.places

    def __len__(self) -> int:
        return len(self.stored.places)

    @property
    def opened(self) -> int:
        """How many skills are open."""
        return len(self._open)

    def clear(self) -> None:
        """Close all open skills and forget the counts."""
        self._open.clear()
        self.hits = self.misses = self.open_bytes = 0

    def close(self) -> None:
        """Close all skills and unmap the file."""
        self.clear()
        if self._map is not None:
            self._map.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
