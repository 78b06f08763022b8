"""Putting questions to a system under test: answers are kept as they come, and every run leaves a log."""
