// The loudspeaker: replies are played as they come; hushed, it tells how much of the reply had been heard.

import { ByTheClock } from "./speaker.clock.js";
import { RATE_HZ } from "./sound.js";

export class Speaker {
  constructor(onHeard) {
    this.onHeard = onHeard;
    this.heard = { reply: null, samples: 0, waiting: false };  // as far as the player has told
    this.pending = false;  // sound was given that it has not told of yet
  }

  get playing() { return this.pending || this.heard.waiting; }

  // Browsers let a page sound once somebody has touched it; until then the reply waits.
  async wake() {
    this.ready ??= this.#open();
    await this.ready;
    if (this.context.state === "suspended") await this.context.resume();
  }

  async #open() {
    this.context = new AudioContext({ sampleRate: RATE_HZ, latencyHint: "interactive" });
    this.player = this.context.audioWorklet ? await this.#worklet() : new ByTheClock(this.context);
    this.player.onmessage = ({ data }) => {
      this.pending &&= data.reply !== this.current;
      this.heard = data;
      this.onHeard(data);
    };
  }

  async #worklet() {
    await this.context.audioWorklet.addModule(new URL("speaker.worklet.js", import.meta.url));
    const node = new AudioWorkletNode(this.context, "speaker", { numberOfInputs: 0, outputChannelCount: [1] });
    node.connect(this.context.destination);
    return node.port;
  }

  // Sound of a reply; of one that was hushed there is no more.
  async play(reply, samples) {
    if (reply === this.hushed) return;
    this.pending ||= reply !== this.current;
    this.current = reply;
    this.wake();
    await this.ready;
    if (reply !== this.hushed) this.player.postMessage({ reply, samples });
  }

  // Silence at once. Gives the reply that was to be heard and the milliseconds of it that were, or null.
  hush() {
    if (!this.playing) return null;
    const samples = this.heard.reply === this.current ? this.heard.samples : 0;
    this.player?.postMessage("hush");
    this.hushed = this.current;
    this.pending = this.heard.waiting = false;
    return { reply: this.hushed, ms: Math.floor(1000 * samples / RATE_HZ) };
  }
}
