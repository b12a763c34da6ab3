"""Everything that can go wrong between an official address and a reader, on a server of our own."""

import hashlib
import http.server
import os
import threading

import pytest

from slubook.corpora import download
from slubook.corpora.errors import DownloadError
from slubook.corpora.sources import PinnedFile, Source, source, sources

CONTENT = {"a b/one.txt": b"first file\n", "two.txt": b"second file\n"}


def pinned(path, content):
    return PinnedFile(path, len(content), hashlib.sha256(content).hexdigest())


@pytest.fixture
def server(tmp_path):
    """An address that serves the files of ``tmp_path/served`` and counts requests."""
    served = tmp_path / "served"
    for path, content in CONTENT.items():
        (served / path).parent.mkdir(parents=True, exist_ok=True)
        (served / path).write_bytes(content)

    class Handler(http.server.SimpleHTTPRequestHandler):
        requests = 0

        def __init__(self, *args):
            super().__init__(*args, directory=str(served))

        def do_GET(self):
            Handler.requests += 1
            super().do_GET()

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.asked = Handler
        running.address = f"http://127.0.0.1:{running.server_port}/"
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def toy(server, tmp_path, monkeypatch):
    """A source of two files; returns the folder of its cache."""
    files = tuple(pinned(path, content) for path, content in CONTENT.items())
    monkeypatch.setattr(download, "source", lambda name: Source("toy", "", "", "", server.address, files))
    monkeypatch.setattr(download, "RETRIES", 0)
    monkeypatch.delenv("SLUBOOK_MIRROR", raising=False)
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "toy"


def content_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_fetch_downloads_once(toy, server):
    assert not download.available("toy")
    assert download.fetch("toy") == toy
    assert content_of(toy) == CONTENT
    assert download.available("toy")
    assert download.verify("toy") == []
    asked = server.asked.requests
    download.fetch("toy")
    assert server.asked.requests == asked == len(CONTENT)


def test_half_written_cache_file_is_told_and_replaced(toy, server):
    download.fetch("toy")
    (toy / "two.txt").write_bytes(CONTENT["two.txt"][:4])
    assert not download.available("toy")
    (problem,) = download.verify("toy")
    assert "two.txt" in problem and "4 bytes instead of 12" in problem
    assert server.address + "two.txt" in problem and "slubook data fetch toy" in problem
    download.fetch("toy")
    assert content_of(toy) == CONTENT


def test_altered_cache_file_of_the_same_size_is_found(toy):
    download.fetch("toy")
    (toy / "two.txt").write_bytes(b"SECOND file\n")
    (problem,) = download.verify("toy")
    assert "two.txt" in problem and "SHA-256" in problem
    download.fetch("toy")
    assert content_of(toy) == CONTENT


def test_wrong_checksum_at_the_address(toy, server, tmp_path):
    (tmp_path / "served" / "two.txt").write_bytes(b"other bytes\n")
    with pytest.raises(DownloadError, match=r"two\.txt.*http://127.*checksum.*slubook data fetch toy") as error:
        download.fetch("toy")
    assert len(error.value.problems) == 1
    assert content_of(toy) == {"a b/one.txt": CONTENT["a b/one.txt"]}


def test_missing_at_the_address(toy, tmp_path):
    (tmp_path / "served" / "two.txt").unlink()
    with pytest.raises(DownloadError, match=r"two\.txt.*404.*SLUBOOK_MIRROR"):
        download.fetch("toy")


def test_no_network_leaves_nothing(toy, server):
    server.shutdown()
    server.server_close()
    with pytest.raises(DownloadError, match=r"one\.txt.*127\.0\.0\.1.*no connection.*SLUBOOK_MIRROR"):
        download.fetch("toy")
    assert content_of(toy) == {}


def test_no_network_needed_for_what_is_there(toy, server):
    download.fetch("toy")
    (toy.parent / "verified" / "toy.json").unlink()
    server.shutdown()
    server.server_close()
    assert download.fetch("toy") == toy


def test_damaged_memory_of_verifications_is_ignored(toy):
    download.fetch("toy")
    (toy.parent / "verified" / "toy.json").write_text('{"half')
    assert download.fetch("toy") == toy


def test_unwritable_cache(toy, tmp_path, monkeypatch):
    (tmp_path / "a_file").write_text("not a folder")
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "a_file" / "cache"))
    with pytest.raises(DownloadError, match=r"a_file.*cannot be written.*SLUBOOK_CACHE"):
        download.fetch("toy")
    assert (tmp_path / "a_file").read_text() == "not a folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_cache(toy, tmp_path):
    toy.parent.mkdir()
    toy.parent.chmod(0o500)
    with pytest.raises(DownloadError, match=r"cannot be written.*SLUBOOK_CACHE"):
        download.fetch("toy")


def test_mirror_replaces_the_network(toy, server, tmp_path, monkeypatch):
    (tmp_path / "served").rename(tmp_path / "toy")
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path))
    assert download.fetch("toy") == tmp_path / "toy"
    assert server.asked.requests == 0
    assert not toy.exists()


def test_mirror_works_without_a_writable_cache(toy, tmp_path, monkeypatch):
    (tmp_path / "served").rename(tmp_path / "toy")
    (tmp_path / "a_file").write_text("")
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path))
    monkeypatch.setenv("SLUBOOK_CACHE", str(tmp_path / "a_file" / "cache"))
    assert download.fetch("toy") == tmp_path / "toy"


def test_all_faults_of_a_mirror_at_once(toy, server, tmp_path, monkeypatch):
    mirror = tmp_path / "toy"
    mirror.mkdir()
    (mirror / "two.txt").write_bytes(b"SECOND file\n")
    monkeypatch.setenv("SLUBOOK_MIRROR", str(tmp_path))
    with pytest.raises(DownloadError) as error:
        download.fetch("toy")
    missing, wrong = error.value.problems
    assert "one.txt: this file is missing" in missing and server.address + "a%20b/one.txt" in missing
    assert "two.txt: has SHA-256" in wrong and "unset SLUBOOK_MIRROR" in wrong
    assert content_of(mirror) == {"two.txt": b"SECOND file\n"}


def test_every_source_is_pinned():
    for name, entry in sources().items():
        assert entry.files and entry.licence and entry.commit and entry.url.startswith("https://"), name
        assert entry.url.endswith("/")
        assert all(len(file.sha256) == 64 and file.bytes for file in entry.files), name
        assert entry.page.startswith("https://")
        assert all(".." not in file.path and not file.path.startswith("/") for file in entry.files)
        assert len({file.path for file in entry.files}) == len(entry.files)
        assert not set(entry.left_out) & {file.path for file in entry.files}


def test_unknown_source():
    with pytest.raises(ValueError, match="'sinps' is unknown: choose one of snips,"):
        source("sinps")
