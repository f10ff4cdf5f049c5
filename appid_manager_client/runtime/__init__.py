"""What every part runs on: time, threads, signals, and what a forked child makes anew.

Knows nothing of services, leases or pools.
"""
