"""Encryption of items: what opens, what does not, and where keys come from."""

import base64
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slubook.ch6_contextual.items import KEY_BYTES, KEYS, KEYS_FILE, Sealer, SealError, read_keys, rotate


@given(st.binary(max_size=200), st.text(max_size=10), st.text(max_size=10), st.integers(0, 2**40))
def test_what_is_sealed_opens(payload, interaction, name, expires):
    sealer = Sealer(rotate({}, "k1"))
    item = sealer.seal(interaction, name, expires, payload)
    assert sealer.open(item) == payload
    assert (sealer.work.sealed_bytes, sealer.work.opened_bytes) == (len(payload), len(payload))


@pytest.mark.parametrize("name", ["interaction", "name", "expires", "key_id", "nonce", "sealed"])
def test_a_row_that_was_changed_does_not_open(name, sealer):
    """Rows cannot be swapped, nor their life extended: every column is authenticated."""
    item = sealer.seal("turn-1", "utterance 1", 1_700_000_300, b"call Meg")
    assert {f.name for f in fields(item)} == {"interaction", "name", "expires", "key_id", "nonce", "sealed"}
    other = Sealer(rotate(rotate({}, "k1"), "k2")).seal("turn-2", "reply 1", 1_800_000_000, b"call Meg")
    with pytest.raises(SealError, match="does not open"):
        sealer.open(replace(item, **{name: getattr(other, name)}))
    assert sealer.open(item) == b"call Meg"
    assert sealer.work.opened == 1


def test_columns_cannot_run_into_each_other(sealer):
    item = sealer.seal("turn-1", "1 utterance", 1_700_000_300, b"call Meg")
    with pytest.raises(SealError):
        sealer.open(replace(item, interaction="turn-11", name=" utterance"))


def test_no_nonce_comes_twice(sealer):
    assert len({sealer.seal("turn-1", "utterance 1", 0, b"").nonce for _ in range(1000)}) == 1000


def test_rotation_opens_the_old_and_seals_with_the_new():
    first = rotate({}, "k1")
    old = Sealer(first).seal("turn-1", "utterance 1", 0, b"call Meg")
    second = rotate(first, "k2")
    sealer = Sealer(second)
    new = sealer.seal("turn-1", "utterance 1", 0, b"call Meg")
    assert (old.key_id, new.key_id) == ("k1", "k2")
    assert sealer.open(old) == sealer.open(new) == b"call Meg"
    with pytest.raises(SealError):  # a key that was dropped takes its items along
        Sealer({"k2": second["k2"]}).open(old)
    with pytest.raises(SealError):  # a key of the same name
        Sealer(rotate({}, "k1")).open(old)
    with pytest.raises(SealError, match="in use"):
        rotate(second, "k1")


def test_keys_come_from_the_environment_or_a_file(tmp_path):
    keys = rotate(rotate({}, "k1"), "k2")
    text = "\n".join(f"{name} {base64.b64encode(key).decode()}" for name, key in keys.items())
    (tmp_path / "keys").write_text(text + "\n")
    for environment in ({KEYS: text}, {KEYS_FILE: str(tmp_path / "keys")}):
        assert list(read_keys(environment).items()) == list(keys.items())


@pytest.mark.parametrize(
    "text", ["", "k1", "k1 c2VjcmV0", "k1 c2VjcmV0 more", "k1 not-base64!", "k1 " + "A" * 43, "k1 " + "c2VjcmV0" * 5]
)
def test_bad_keys_are_refused_and_not_shown(text, tmp_path):
    assert KEY_BYTES == 32
    for environment in ({KEYS: text}, {KEYS_FILE: str(tmp_path / "none")}):
        with pytest.raises(SealError, match="must hold keys of 32 bytes") as error:
            read_keys(environment)
        assert "c2VjcmV0" not in str(error.value)
        assert error.value.__cause__ is error.value.__context__ is None
