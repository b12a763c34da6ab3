"""Serves a hundred thousand skills in one process: packed models and their store."""
