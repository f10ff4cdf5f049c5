"""Kept for pickles of version 0.1, which name this module. Import from `appid_manager_client`."""

from .wire.models import Acquisition

__all__ = ["Acquisition"]
