"""Text language models behind one interface: teachers that write targets, judges that score.

A leaf: it knows of no rows and no tasks.
"""
