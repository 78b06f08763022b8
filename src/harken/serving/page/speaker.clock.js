// What speaker.worklet.js does, without a worklet: browsers give one only to pages on this machine or under https.
// Each piece of sound is set to begin where the one before ends, and the clock says how much has been heard.

import { RATE_HZ } from "./sound.js";

const TOLD_EVERY_MS = 50;

export class ByTheClock {
  constructor(context) {
    this.context = context;
    this.queue = [];  // not yet over: { reply, samples, from, source }
    this.heard = { reply: null, samples: 0, waiting: false };
  }

  postMessage(message) {
    if (message === "hush") this.#hush();
    else this.#add(message);
  }

  #add({ reply, samples }) {
    if (!samples.length) return;
    const { context, queue } = this, last = queue.at(-1);
    const buffer = context.createBuffer(1, samples.length, RATE_HZ);
    buffer.getChannelData(0).set(Float32Array.from(samples, sample => sample / 32768));
    const source = new AudioBufferSourceNode(context, { buffer });
    const from = Math.max(context.currentTime, last ? last.from + last.samples / RATE_HZ : 0);
    source.connect(context.destination);
    source.start(from);
    queue.push({ reply, samples: samples.length, from, source });
    this.timer ??= setInterval(() => this.#tell(), TOLD_EVERY_MS);
  }

  #hush() {
    for (const { source } of this.queue) source.stop();
    this.queue = [];
  }

  #tell() {
    const passed = ({ from }) => Math.round((this.context.currentTime - from) * RATE_HZ);
    const begin = reply => { if (this.heard.reply !== reply) { this.heard = { reply, samples: 0 }; this.before = 0; } };
    while (this.queue.length && passed(this.queue[0]) >= this.queue[0].samples) {
      const { reply, samples } = this.queue.shift();
      begin(reply);
      this.heard.samples = this.before += samples;
    }
    const [now] = this.queue;
    if (now && passed(now) > 0) {
      begin(now.reply);
      this.heard.samples = this.before + passed(now);
    }
    this.heard.waiting = this.queue.length > 0;
    if (!this.heard.waiting) {
      clearInterval(this.timer);
      this.timer = undefined;
    }
    if (this.heard.reply !== null) this.onmessage({ data: { ...this.heard } });
  }
}
