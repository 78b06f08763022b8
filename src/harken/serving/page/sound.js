// Sound as the protocol carries it: 16-bit mono PCM at 24 kHz, in base64; and from files, to files, as a waveform.

export const RATE_HZ = 24000;

export function toBase64(samples) {
  const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

export function fromBase64(text) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return new Int16Array(bytes.buffer, 0, bytes.length >> 1);
}

export function joined(parts) {
  const whole = new Int16Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

// A file in any format that the browser reads; rejects for one that it does not.
export async function decoded(file) {
  const context = new OfflineAudioContext(1, 1, RATE_HZ);  // it resamples what it decodes
  const sound = await context.decodeAudioData(await file.arrayBuffer());
  const samples = new Int16Array(sound.length);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, n) => sound.getChannelData(n));
  for (let i = 0; i < samples.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    samples[i] = Math.max(-32768, Math.min(32767, Math.round(32767 * sum / channels.length)));
  }
  return samples;
}

export function wave(samples) {
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); header.setUint32(4, 36 + samples.byteLength, true); text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); header.setUint16(20, 1, true); header.setUint16(22, 1, true);
  header.setUint32(24, RATE_HZ, true); header.setUint32(28, 2 * RATE_HZ, true);
  header.setUint16(32, 2, true); header.setUint16(34, 16, true);
  text(36, "data"); header.setUint32(40, samples.byteLength, true);
  return new Blob([header, samples], { type: "audio/wav" });
}

// The loudest sample of each of so many stretches, 0 to 1, against the loudest of all.
export function peaks(samples, count) {
  const found = new Array(count).fill(0), stretch = samples.length / count;
  for (let n = 0; n < count; n++) {
    const end = Math.min(samples.length, Math.ceil((n + 1) * stretch));
    for (let i = Math.floor(n * stretch); i < end; i++) found[n] = Math.max(found[n], Math.abs(samples[i]));
  }
  const most = Math.max(1500, ...found);  // silence stays flat
  return found.map(peak => peak / most);
}

export function loudness(samples) {
  let sum = 0;
  for (const sample of samples) sum += sample * sample;
  return Math.min(1, Math.sqrt(sum / samples.length) / 6000);
}
