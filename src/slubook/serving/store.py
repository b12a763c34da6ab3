"""Keeps many packed skills in one file and opens them as requests come in.

``skills.bin`` holds the blobs one after the other, ``index.json`` says where each stands. What was written never
changes: a skill that is stored again is appended, and the index, replaced in one step at the end, points to its newest
blob. A process that dies while writing leaves some unused bytes, no more; readers that hold the older index see the
older blobs. Taught in chapter 1, *Shared and local embeddings*.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from slubook.ch1_skills.vectors import VectorTable
from slubook.files import write_atomically
from slubook.serving.packed import PackedSkill, StoreError

DATA, INDEX = "skills.bin", "index.json"
FORMAT = 1
#: Skills start at multiples of this, so that reading one touches none of its neighbours' pages.
PAGE = 4096


def read_index(folder: Path) -> tuple[dict[str, tuple[int, int, int]], int]:
    """Returns where each skill of a store stands: its offset, length and CRC-32; and the first byte not in use.

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
    return places, index["end"]


def append(folder: Path, blobs: Iterable[tuple[str, bytes]]) -> None:
    """Adds skills, by their ids, to a store, which is made when missing; an id that it knows gets the new blob.

    No skill is there before all are. One writer at a time.

    Raises:
        StoreError: when the store that is there is damaged.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places, end = read_index(folder) if (folder / INDEX).exists() else ({}, 0)
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


class SkillStore(AbstractContextManager):
    """Opens skills for requests and keeps the most recently used ones open, within a number of bytes.

    Attributes:
        places: where each skill stands; see :func:`read_index`.
        opened: the open skills, the least recently used first.
        open_bytes: their memory.
        hits: requests whose skill was open.
        misses: requests whose skill had to be read.
    """

    def __init__(self, folder: Path, table: VectorTable, capacity: int = 2**30) -> None:
        """Maps the file of a store into memory; raises as :func:`read_index`.

        Args:
            folder: of the store.
            table: the one generic table of all its skills.
            capacity: bytes that open skills may take together; the last one used stays open even above it.
        """
        self.places, end = read_index(folder)
        self.folder, self.table, self.capacity = folder, table, capacity
        self.hits = self.misses = self.open_bytes = 0
        self.opened: OrderedDict[str, PackedSkill] = OrderedDict()
        with open(folder / DATA, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if end else None

    def skill(self, name: str) -> PackedSkill:
        """Returns the skill, opened if need be; the least recently used ones make room for it.

        Raises:
            StoreError: when the store does not know it, or its bytes are damaged or over another table.
        """
        if name in self.opened:
            self.hits += 1
            self.opened.move_to_end(name)
            return self.opened[name]
        blob = self.blob(name)
        try:
            skill = PackedSkill(blob, self.table)
        except StoreError as error:
            raise StoreError(f"skill {name!r} in {self.folder}: {error}") from error
        self.misses += 1
        self.opened[name] = skill
        self.open_bytes += skill.nbytes
        while self.open_bytes > self.capacity and len(self.opened) > 1:
            self.open_bytes -= self.opened.popitem(last=False)[1].nbytes
        return skill

    def blob(self, name: str) -> bytes:
        """Returns the packed bytes of a skill, copied out of the mapped file; raises as :meth:`skill`."""
        if (place := self.places.get(name)) is None:
            raise StoreError(f"skill {name!r} is not among the {len(self.places)} of {self.folder}: pack and append it")
        start, length, checksum = place
        self._advise("MADV_WILLNEED", start, length)  # one long read instead of many short ones
        blob = self._map[start : start + length]
        self._advise("MADV_DONTNEED", start, length)
        if zlib.crc32(blob) != checksum:
            raise StoreError(f"skill {name!r} in {self.folder} is damaged: pack and append it again")
        return blob

    def _advise(self, advice: str, start: int, length: int) -> None:
        if hasattr(mmap, advice):  # Windows has none
            page = start - start % mmap.PAGESIZE
            self._map.madvise(getattr(mmap, advice), page, start + length - page)

    def clear(self) -> None:
        """Closes all open skills and sets the counts to zero."""
        self.opened.clear()
        self.hits = self.misses = self.open_bytes = 0

    def __exit__(self, *_: object) -> None:
        self.clear()
        if self._map is not None:
            self._map.close()
