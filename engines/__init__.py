"""Whoever makes tokens: the llama.cpp worker process, the fake engine, the look-up.

Nothing here knows HTTP, LSP, or which request matters more than another.
"""
