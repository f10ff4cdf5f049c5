"""What every part runs on: time, threads, signals, and what a fork must make anew.

Knows nothing of services, leases or pools.
"""
