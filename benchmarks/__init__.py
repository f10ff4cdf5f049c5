"""Benchmarks: each module has a `main()` that prints ratios which it measures in one run.

Modules whose names begin with an underscore are what the benchmarks share.
"""
