"""HTTP: who may call, requests into operations, and outcomes into answers. Knows no SQL."""
