"""Benchmarks, each a module with a `main()` that prints ratios measured in one run. Those named `_...` are helpers."""
