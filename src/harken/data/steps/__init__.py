"""The construction steps, one file each."""
