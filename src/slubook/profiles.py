"""Paths, profiles, seeds and the device; this module imports nothing of the package."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path

import numpy as np
import platformdirs

#: The root of the checkout when the package is installed from one, else the working directory.
_CHECKOUT = Path(__file__).resolve().parents[2]
ROOT = _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else Path.cwd()
RESULTS = ROOT / "results"
CLAIMS = ROOT / "book" / "claims.yml"
BENCHMARKS = ROOT / "book" / "published_benchmarks.yml"


def cache_dir() -> Path:
    """Returns the folder for downloads and pretrained vectors: ``SLUBOOK_CACHE`` or the platform's cache folder."""
    return Path(os.environ.get("SLUBOOK_CACHE") or platformdirs.user_cache_path("slubook"))


def mirror_dir() -> Path | None:
    """Returns the folder that replaces the network (``SLUBOOK_MIRROR``), laid out ``<source>/<path>``, or ``None``."""
    value = os.environ.get("SLUBOOK_MIRROR")
    return Path(value) if value else None


def seed_everything(seed: int, threads: int | None = None) -> np.random.Generator:
    """Seeds Python, NumPy and torch, asks torch for deterministic kernels, and returns a NumPy generator.

    ``threads`` sets torch's number of threads: results are bit-identical only at an equal number.
    """
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # a GPU repeats matrix products only with it
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs a tenth of the time, prevents nothing here
    torch.set_flush_denormal(True)  # optimizer states near zero would slow down square roots
    if threads is not None:
        torch.set_num_threads(threads)
    return np.random.default_rng(seed)


def stable_hash(*parts: object) -> int:
    """Computes a 32-bit hash that is the same in every process, for derived seeds and sampling."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big")


def device(choice: str = "auto") -> str:
    """Returns ``"cuda"`` or ``"cpu"``: the choice itself, or with ``"auto"`` a GPU where there is one.

    Raises:
        ValueError: for an unknown choice, or ``"cuda"`` where torch sees none.
    """
    import torch

    if choice not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device {choice!r} is unknown: use auto, cpu or cuda")
    if choice == "cuda" and not torch.cuda.is_available():
        raise ValueError("device 'cuda' was asked for, but torch sees no GPU: use --device cpu")
    return "cuda" if choice != "cpu" and torch.cuda.is_available() else "cpu"
