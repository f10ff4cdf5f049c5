"""Prints results: a ratio beside its target. Ratios are comparable between machines."""

from __future__ import annotations


def at_least(what: str, ratio: float, target: float) -> None:
    """Print a ratio that should be `target` or more."""
    _print(what, ratio, f"at least {target:g}", ratio >= target)


def at_most(what: str, ratio: float, target: float) -> None:
    """Print a ratio that should be `target` or less."""
    _print(what, ratio, f"at most {target:g}", ratio <= target)


def _print(what: str, ratio: float, target: str, held: bool) -> None:
    print(
        f"  ratio: {what}: {ratio:.2f} (target: {target}; {'held' if held else 'MISSED'})",
        flush=True,
    )
