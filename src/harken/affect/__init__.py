"""The emotion labels that Harken speaks of, and how the names that data sets use map onto them.

A leaf: every room above may import it, and it imports nothing of Harken.
"""
