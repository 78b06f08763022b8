"""Spoken replies rated by people, blind, in a browser on their own machine."""
