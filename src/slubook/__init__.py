"""slubook: the package behind the executable book on spoken-language understanding with little data."""

from importlib.metadata import version

__version__ = version("slubook")
