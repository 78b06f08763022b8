"""Harken as a server: OpenAI's Realtime protocol over WebSocket, recordings over HTTP, many users at once.

`app` puts it together. A connection (`connection`) carries the events (`wire`) of a session (`session`); all
replies are made by one thread (`worker`). What a reply is, is `harken.dialogue`'s.
"""
