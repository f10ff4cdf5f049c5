"""One file for each schema: what it changed of the one before."""
