import pytest

from slubook.corpora import download


@pytest.fixture
def public():
    """``public(source)`` skips the test where that source is neither in the mirror nor in the cache."""

    def need(source: str) -> None:
        if not download.available(source):
            pytest.skip("public corpora are not on this machine: set SLUBOOK_MIRROR or run `slubook data fetch`")

    return need
