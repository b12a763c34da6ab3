"""What is trained once and kept in the cache: found again by its name and a key of all that it was made from.

The word vectors, language models and pretrained networks of all chapters are kept this way. An artefact lies in a
folder of its own, with its key inside. Another key under the same name replaces it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from safetensors import SafetensorError

from slubook.files import KeptError, one_at_a_time
from slubook.profiles import cache_dir


class Saveable(Protocol):
    """An artefact that can write itself into a folder, whole or not at all."""

    def save(self, folder: Path) -> None: ...


T = TypeVar("T", bound=Saveable)


@dataclass(frozen=True)
class Artefacts(Generic[T]):
    """One kind of artefact, such as all language models.

    Attributes:
        what: one of them is, for messages.
        place: the folder of the cache that holds them.
        load: reads one from its folder; it raises ``FileNotFoundError`` where there is none.
        key: reads the key off one.
    """

    what: str
    place: str
    load: Callable[[Path], T]
    key: Callable[[T], str | None]

    def folder(self, name: str) -> Path:
        """Returns where the artefact ``name`` is kept."""
        return cache_dir() / self.place / name

    def kept(self, name: str, key: str, make: Callable[[], T], how: str, folder: Path | None = None) -> T:
        """Returns the artefact ``name``: the one that is kept if it has this key, else a new one.

        Of two processes that ask for the same one, the second waits and finds what the first has made.

        Args:
            name: of the artefact and of its folder.
            key: a hash of all that it depends on.
            make: trains a new one, which must have that key.
            how: it is made, for a line on stderr: training takes minutes, and shows no bar where that is no terminal.
            folder: where it is kept; by its name in the cache when ``None``.

        Raises:
            KeptError: when the one that is kept is damaged.
            OSError: when the cache cannot be written.
        """
        folder = folder or self.folder(name)
        with one_at_a_time(folder):
            with suppress(FileNotFoundError):
                if self.key(found := self.load(folder)) == key:
                    return found
            announce(self.what, name, how)
            make().save(folder)
            for done in folder.parent.glob(f"{escape(folder.name)}-{'[0-9a-f]' * len(key)}.safetensors"):
                done.unlink(missing_ok=True)  # states of this training, and of those whose artefact it replaces
            return self.load(folder)

    def named(self, name: str, key: str) -> T:
        """Reads the artefact that a plan names by name and key.

        Raises:
            FileNotFoundError: when it is gone.
            KeptError: when it is damaged, or another run has replaced it meanwhile.
        """
        found = self.load(self.folder(name))
        if self.key(found) != key:
            raise KeptError(f"the {self.what} {name} was replaced by another run: run this one again")
        return found


def state_of(folder: Path, key: str) -> Path:
    """Returns where a training keeps its state until its artefact is in ``folder``; it is removed then."""
    return folder.with_name(f"{folder.name}-{key}.safetensors")


def announce(what: str, name: str, how: str) -> None:
    """Says on stderr what is made now and kept from then on."""
    print(f"{what} {name}: {how}, once", file=sys.stderr, flush=True)


@contextmanager
def reading(folder: Path, what: str) -> Iterator[None]:
    """Turns any error that faulty files cause into one message; around all that makes an artefact of its files.

    Args:
        folder: of the artefact.
        what: it is, for the message.

    Raises:
        KeptError: in place of the error.
    """
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise KeptError(f"the {what} in {folder} is damaged ({error}): delete the folder") from error
