"""Sound as samples: recordings in and out (`io`), OpenAI's streams (`pcm`) and the telephone's (`g711`);
where speech can be cut (`windows`) and where sound begins and ends (`silence`); and what networks read of it:
Whisper's features (`features`), pitch and loudness (`pitch`), the vocoder's spectrogram (`vocoder_mel`).

What the sounds mean is left to `harken.model`; making speech is left to `harken.voices`.
"""
