"""Text to speech behind one interface (`base.Voice`), for replies and for rendering training turns.

`kokoro` speaks with Kokoro-82M (the extra `kokoro`, because its phonemes come from GPL packages);
`cosyvoice2` with CosyVoice2, from a checkout or a server, for building data; `styles` says how an emotion
sounds; `casts` says which voices may train, tune and judge. What to say is left to `harken.model`.
"""
