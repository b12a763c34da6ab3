"""Holds chapter 1: MaxEnt-CRF and the network for the skills of a voice assistant."""
