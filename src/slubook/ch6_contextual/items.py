"""Items, each encrypted on its own with AES-GCM, and the keys that do it.

The keys of both tables, the expiry and the key's id are associated data: an item that was moved to another row, given
a longer life, or changed in any bit does not open. Nonces are 96 random bits, so that writers need not agree on
counters; one key is good for 2³² items then (NIST SP 800-38D, section 8.3). Rotate long before: at 2,000 items a second
that many are written in 25 days. Old keys open what they sealed until it expires, so nothing is encrypted again.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEYS, KEYS_FILE = "SLUBOOK_CONTEXT_KEYS", "SLUBOOK_CONTEXT_KEYS_FILE"
KEY_BYTES, NONCE_BYTES = 32, 12


class SealError(ValueError):
    """An item does not open, or there are no keys."""


def read_keys(environment: Mapping[str, str] = os.environ) -> dict[str, bytes]:
    """Reads keys by id, one ``id base64`` a line, from ``SLUBOOK_CONTEXT_KEYS`` or the file that …_FILE names.

    Raises:
        SealError: when there are none, or they are not keys. The message shows nothing of them.
    """
    try:
        file = environment.get(KEYS_FILE)
        lines = (environment.get(KEYS) or (Path(file).read_text("utf-8") if file else "")).splitlines()
        keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in map(str.split, lines)}
    except (OSError, ValueError):
        keys = {}
    if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
        raise SealError(f"{KEYS}, or the file that {KEYS_FILE} names, must hold keys of {KEY_BYTES} bytes")
    return keys


def rotate(keys: Mapping[str, bytes], key_id: str) -> dict[str, bytes]:
    """Puts a new random key before the others, so that it seals from now on."""
    if key_id in keys:
        raise SealError(f"key id {key_id!r} is in use: name the new key otherwise")
    return {key_id: os.urandom(KEY_BYTES), **keys}


@dataclass(frozen=True)
class Item:
    """One row of the table of items. Its key is the interaction and the name."""

    interaction: str
    name: str
    expires: int
    key_id: str
    nonce: bytes
    sealed: bytes = b""

    @property
    def associated(self) -> bytes:
        """Returns what is authenticated beside the ciphertext."""
        return json.dumps([self.interaction, self.name, self.expires, self.key_id]).encode()


@dataclass
class CryptoWork:
    """What encryption has cost, in items and in bytes of plain text."""

    sealed: int = 0
    sealed_bytes: int = 0
    opened: int = 0
    opened_bytes: int = 0
    resealed_bytes: int = 0  # those of the sealed ones that had been sealed before


class Sealer:
    """Seals items with the first of its keys, opens those of any, and counts the work."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Takes keys by id."""
        self.ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current = next(iter(keys))
        self.work = CryptoWork()

    def seal(self, interaction: str, name: str, expires: int, payload: bytes) -> Item:
        """Encrypts a payload for one place and one time."""
        item = Item(interaction, name, expires, self.current, os.urandom(NONCE_BYTES))
        self.work.sealed += 1
        self.work.sealed_bytes += len(payload)
        return replace(item, sealed=self.ciphers[self.current].encrypt(item.nonce, payload, item.associated))

    def open(self, item: Item) -> bytes:
        """Decrypts an item; raises SealError when its key is not among these, or it is not as it was sealed."""
        try:
            payload = self.ciphers[item.key_id].decrypt(item.nonce, item.sealed, item.associated)
        except (KeyError, InvalidTag) as error:
            raise SealError(f"item {item.name!r} does not open with the key {item.key_id!r}") from error
        self.work.opened += 1
        self.work.opened_bytes += len(payload)
        return payload
