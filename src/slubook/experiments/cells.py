"""Finished cells of a long run, kept so that a run that stops goes on where it was."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slubook.files import write_atomically
from slubook.profiles import stable_hash


def canonical(value: Any) -> str:
    """JSON with one way to write each value, to be hashed."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


class CellStore:
    """Finished cells of a long run, one small JSON file each, so that a run that stops goes on where it was.

    A cell that is half-written, damaged, or of another fingerprint counts as not done and is measured again.

    Args:
        folder: where the cells are kept; made when the first is put.
        fingerprint: what the cells depend on beside their key (protocol, configuration, data); cells
            put under another one are ignored.
    """

    def __init__(self, folder: Path, fingerprint: str = "") -> None:
        self.folder = folder
        self.fingerprint = fingerprint

    def _path(self, key: Sequence[object]) -> Path:
        readable = re.sub(r"[^\w.-]+", "-", "_".join(map(str, key)))[:120]
        return self.folder / f"{readable}-{stable_hash(*key):08x}.json"

    def _read(self, path: Path) -> dict[str, Any] | None:
        try:
            cell = json.loads(path.read_text(encoding="utf-8"))
            whole = cell["sha256"] == hashlib.sha256(canonical(cell["content"]).encode()).hexdigest()
            return cell if whole and cell["fingerprint"] == self.fingerprint else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def has(self, key: Sequence[object]) -> bool:
        """Whether the cell is there and whole."""
        return self.get(key) is not None

    def get(self, key: Sequence[object]) -> Any | None:
        """The content of a finished cell, or ``None``."""
        cell = self._read(self._path(key))
        return cell["content"] if cell and cell["key"] == [str(part) for part in key] else None

    def put(self, key: Sequence[object], content: Any) -> None:
        """Keep the content (anything that JSON can hold) of a finished cell."""
        content = json.loads(json.dumps(content))
        digest = hashlib.sha256(canonical(content).encode()).hexdigest()
        cell = {"key": [str(part) for part in key], "fingerprint": self.fingerprint, "sha256": digest}
        write_atomically(self._path(key), json.dumps({**cell, "content": content}, ensure_ascii=False))
