"""Chapter 4: self-training that picks its own data."""
