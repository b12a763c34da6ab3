"""Chapter 6: speech recognition that knows the previous turn, and the service that stores the turn for it."""
