"""SQL: what is kept on disk, and every operation as statements in one transaction.

Knows no HTTP: it takes operations and returns outcomes, both plain data.
"""
