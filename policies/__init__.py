"""Every decision Hearth takes, as pure code: events and `now` in, actions out.

Nothing here reads a clock, touches a file or a socket, logs, or draws at random.
"""
