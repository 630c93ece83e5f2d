"""Models of our own making, for tests and measurements."""
