"""Track 1 of the HumDial Challenge, emotional intelligence: its dialogues, its scores, its submissions."""
