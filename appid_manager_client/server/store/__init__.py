"""SQL: what is kept on disk, and how every operation is carried out in one transaction.

Knows no HTTP. It takes operations and queries, and returns outcomes and records: plain data.
"""
