"""The process: orchestrator, tickets, HTTP, command line, configuration, wiring.

Nothing here decides: it asks `policies`.
"""

__version__ = "0.1.0"
