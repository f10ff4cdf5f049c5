"""AppIDs for Python code: leased from the central service, never shared, never lost."""

from ._version import __version__

__all__ = ["__version__"]
