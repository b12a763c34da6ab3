"""One file a chapter: a protocol that yields records."""
