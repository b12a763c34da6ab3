"""The command line: ``slubook``."""

from slubook.cli.main import app as app
