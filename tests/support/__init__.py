"""Helpers that tests share: services that misbehave on request, clocks that turn, waits with a name."""
