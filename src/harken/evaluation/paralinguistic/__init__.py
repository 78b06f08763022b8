"""Questions about recordings: what was said, how the speaker felt, who spoke."""
