"""Utterances in: one reader a file. Knows nothing of models."""
