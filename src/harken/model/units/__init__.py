"""Unit codecs: speech as discrete tokens that a language model can say, and back to sound, as a stream."""
