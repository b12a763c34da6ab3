"""Chapter 3: ELMoL, one contextual layer learned from text that nobody annotated."""
