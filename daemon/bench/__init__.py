"""What `hearth bench` does: daemons of its own, a mixed load against each in turns, and what came of it."""
