"""Replies to single turns with an emotion, described in free words by a judge and then scored."""
