"""A dialogue as it happens: its form and history (`render`, `conversation`), the loop that writes, speaks and
thinks (`reply`, with `decoding`, `sampling` and `speaking`; `reflection` while it speaks, in the time that
`pace` finds), and what of it others see (`events`).

The model that hears and reads is `harken.model`'s; voices are `harken.voices`'.
"""
