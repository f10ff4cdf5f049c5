"""A service of our own that speaks the wire contract, durable in SQL. Needs the extra `server`."""
