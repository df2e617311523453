"""How much is done in an hour, beside what users would otherwise run; `make bench` runs it."""
