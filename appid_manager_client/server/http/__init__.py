"""HTTP: requests into operations, outcomes into answers, and who may come in."""
