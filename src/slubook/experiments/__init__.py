"""Holds what every experiment shares: the table of experiments, options, the runner, records, stamps, tuning."""
