"""Chapter 5: a language model for a new language, from machine translations of another one's requests."""
