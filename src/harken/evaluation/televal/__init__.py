"""Spoken question answering on TELEVAL's sets: reading them, and asking a system."""
