"""Plugins: one folder each, found by its manifest. Nothing here imports Django or one of the apps."""
