"""slubook: the package behind the executable book on spoken-language understanding with little data."""

import warnings
from importlib.metadata import version

__version__ = version("slubook")

# Bars are plain text in notebooks, too: ipywidgets, whose saved state makes pages fetch scripts, is not installed.
warnings.filterwarnings("ignore", message="IProgress not found")
