// Plays 16-bit samples as they come, reply by reply, and tells how much of each has been heard. "hush" drops the rest.

class Speaker extends AudioWorkletProcessor {
  constructor() {
    super();
    this.queue = [];
    this.at = this.blocks = 0;
    this.heard = { reply: null, samples: 0, waiting: false };
    this.port.onmessage = ({ data }) => {
      if (data !== "hush") { this.queue.push(data); return; }
      this.queue = [];
      this.at = 0;
    };
  }

  process(_, [[out]]) {
    for (let i = 0; i < out.length && this.queue.length; i++) {
      const { reply, samples } = this.queue[0];
      if (reply !== this.heard.reply) this.heard = { reply, samples: 0, waiting: true };
      out[i] = samples[this.at++] / 32768;
      this.heard.samples++;
      if (this.at >= samples.length) { this.queue.shift(); this.at = 0; }
    }
    const waiting = this.queue.length > 0;
    if (waiting !== this.heard.waiting || (waiting && ++this.blocks % 4 === 0)) {
      this.heard.waiting = waiting;
      this.port.postMessage({ ...this.heard });
    }
    return true;
  }
}

registerProcessor("speaker", Speaker);
