"""The `hearth` command: one file a verb, `entry` decides what is imported."""
