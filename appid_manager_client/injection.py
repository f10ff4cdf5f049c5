"""Kept for pickles of version 0.1, which name this module. Import from `appid_manager_client`."""

from .decorator.injection import INJECTED

__all__ = ["INJECTED"]
