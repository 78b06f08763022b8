"""Spoken dialogues to judge a system on, built from annotated text: items with gold answers, voices that
training never heard, and the same words in several emotions.
"""
