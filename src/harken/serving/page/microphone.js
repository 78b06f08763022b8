// The microphone: open, it hands on 40 ms of sound at a time.

import { RATE_HZ } from "./sound.js";

// Why there is no microphone: "insecure", "denied", "missing" or "taken".
export class NoMicrophone extends Error {
  constructor(reason) { super(reason); this.reason = reason; }
}

const REASONS = { NotAllowedError: "denied", SecurityError: "denied", NotFoundError: "missing", OverconstrainedError: "missing" };

export class Microphone {
  constructor(onSound, onLost) { Object.assign(this, { onSound, onLost }); }

  get open() { return this.stream !== undefined; }

  async start() {
    if (this.open) return;
    if (!navigator.mediaDevices) throw new NoMicrophone("insecure");
    // Noise suppression takes away some of what tells how somebody feels; the echo of the reply has to go.
    const audio = { echoCancellation: true, noiseSuppression: false, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio }).catch(error => {
      throw new NoMicrophone(REASONS[error.name] ?? "taken");
    });
    this.stream = stream;
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(new URL("microphone.worklet.js", import.meta.url));
    const processorOptions = { rateHz: RATE_HZ };
    const node = new AudioWorkletNode(this.context, "microphone", { numberOfOutputs: 0, processorOptions });
    node.port.onmessage = ({ data }) => this.open && this.onSound(data);
    this.context.createMediaStreamSource(stream).connect(node);
    for (const track of stream.getTracks()) track.onended = () => { this.stop(); this.onLost(); };
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) { track.onended = null; track.stop(); }
    this.context?.close();
    this.stream = this.context = undefined;
  }
}
