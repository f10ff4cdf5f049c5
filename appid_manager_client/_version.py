"""The one place that holds the version; packaging and the transport's User-Agent read it."""

__version__ = "0.1.0"
