"""Recordings in and out: reading (`io`), cutting into windows (`windows`), Whisper's features (`features`).

What the sounds mean is left to `harken.model`; making speech is left to `harken.voices`.
"""
