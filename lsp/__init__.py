"""The Language Server Protocol: one session per connected editor.

Nothing here knows a model; it speaks to the `Assistant` protocol that `assistant.py` defines.
"""
