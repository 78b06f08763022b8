// What the microphone gives, at whatever rate, as 16-bit samples at the rate that is asked for, 40 ms at a time.
// Each sample is the mean of the stretch that it stands for.

class Microphone extends AudioWorkletProcessor {
  constructor({ processorOptions: { rateHz } }) {
    super();
    this.stretch = sampleRate / rateHz;
    this.sum = this.filled = this.count = 0;
    this.block = new Int16Array(rateHz / 25);
  }

  process([[channel]]) {
    for (const sample of channel ?? []) {
      let rest = 1;
      while (this.filled + rest >= this.stretch) {
        const taken = this.stretch - this.filled;
        this.give((this.sum + sample * taken) / this.stretch);
        rest -= taken;
        this.sum = this.filled = 0;
      }
      this.sum += sample * rest;
      this.filled += rest;
    }
    return true;
  }

  give(sample) {
    this.block[this.count++] = Math.max(-32768, Math.min(32767, Math.round(32767 * sample)));
    if (this.count < this.block.length) return;
    this.port.postMessage(this.block.slice());
    this.count = 0;
  }
}

registerProcessor("microphone", Microphone);
