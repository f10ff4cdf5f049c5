"""Benchmarks with a million of something: `python -m benchmarks --large`. They take minutes."""
