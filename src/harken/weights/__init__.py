"""Where weights come from: a catalogue with hashes, the user's own clients, local files, one cache.

`store.ensure(name)` gives a folder ready to load; what is done with it is for the rooms that ask.
"""
