import pytest

from slubook import profiles


@pytest.fixture
def public():
    """``public(source)`` skips the test where that source is neither in the mirror nor in the cache."""

    def need(source: str) -> None:
        if not ((profiles.mirror_dir() or profiles.cache_dir()) / source).is_dir():
            pytest.skip("public corpora are not on this machine: set SLUBOOK_MIRROR or run `slubook data fetch`")

    return need
