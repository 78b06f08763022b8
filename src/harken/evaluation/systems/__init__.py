"""Systems under test behind one interface: Harken itself, the cascade it is measured against, a server, or
predictions that were made before.

What they are asked, and what their answers are worth, is left to the benchmarks.
"""
