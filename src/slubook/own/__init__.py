"""Holds a user's own skill: read, compare, keep, answer."""
