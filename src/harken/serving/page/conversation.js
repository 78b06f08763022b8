// What has been said so far, put together from the protocol's events: turns of what the user said and what was
// replied, with the sound of both. `changed(turn)` is called whenever there is more of a turn.

import { RATE_HZ, fromBase64, joined } from "./sound.js";

const KEPT_S = 600;  // of what was sent and has not become a turn yet

export class Conversation {
  constructor(changed) {
    this.changed = changed;
    this.turns = [];
    this.begin();
  }

  // A new session: the server counts sound and names things anew.
  begin() {
    this.sent = [];
    this.position = this.taken = 0;  // samples since the session began: sent, and made into turns
    this.since = this.turns.length;
    this.replies = new Map();
  }

  get last() { return this.turns.at(-1); }

  sending(samples) {
    this.sent.push({ at: this.position, samples });
    this.position += samples.length;
    while (this.position - this.sent[0].at > KEPT_S * RATE_HZ) this.sent.shift();
  }

  take(event) { HANDLERS[event.type]?.(this, event); }

  turnOf(item) {
    const turn = this.turns.slice(this.since).findLast(turn => turn.item === item);
    return turn ?? this.add({ item, hearing: true });
  }

  add(turn) {
    this.turns.push(turn = { ...turn, number: this.turns.length });
    return turn;
  }

  // What was sent and is in no turn yet will be in none. A turn whose end is on its way keeps its sound.
  clear() { this.taken = this.position; }

  // The user's turn has ended: its sound is what was sent from one position to another.
  ended(turn, from, to) {
    if (turn.said) return;
    const parts = this.sent.filter(({ at, samples }) => at < to && at + samples.length > from);
    turn.said = joined(parts.map(({ at, samples }) => samples.subarray(Math.max(0, from - at), to - at)));
    this.sent = this.sent.filter(({ at, samples }) => at + samples.length > to);
    this.taken = Math.max(this.taken, to);
    turn.hearing = false;
    turn.endedAt = performance.now();
    this.changed(turn);
  }

  // The user's last turn is answered once; what else is said, as what a guard has to say later, has no turn of theirs.
  replying(id) {
    const asked = this.turns.slice(this.since).findLast(turn => turn.item);
    const turn = asked?.said && !asked.reply ? asked : this.add({});
    turn.reply = { id, text: "", sound: [], status: "coming" };
    this.replies.set(id, turn);
    this.changed(turn);
  }

  more(event, change) {
    const turn = this.replies.get(event.response_id);
    if (!turn) return;
    change(turn.reply, turn);
    this.changed(turn);
  }
}

const samplesOf = ms => Math.round(ms * RATE_HZ / 1000);

const HANDLERS = {
  "input_audio_buffer.speech_started": (all, event) => {
    const turn = all.turnOf(event.item_id);
    turn.from = samplesOf(event.audio_start_ms);
    all.changed(turn);
  },
  "input_audio_buffer.speech_stopped": (all, event) => {
    const turn = all.turnOf(event.item_id);
    all.ended(turn, turn.from ?? all.taken, samplesOf(event.audio_end_ms));
  },
  "input_audio_buffer.committed": (all, event) => {
    const turn = all.turnOf(event.item_id);
    all.ended(turn, turn.from ?? all.taken, all.position);
  },
  "conversation.item.input_audio_transcription.completed": (all, event) => {
    const turn = all.turnOf(event.item_id);
    turn.words = event.transcript;
    all.changed(turn);
  },
  "harken.heard": (all, event) => {
    const turn = all.turnOf(event.item_id);
    turn.heard = event;
    turn.words ??= event.transcript;
    all.changed(turn);
  },
  "harken.attribution": (all, event) => all.more(event, (_, turn) => { turn.cause = event; }),
  // What is thought between two pieces of the reply is a thought of its own.
  "harken.reflection.delta": (all, event) => all.more(event, reply => {
    const thoughts = reply.thoughts ??= [], last = thoughts.at(-1);
    if (last?.after === reply.text.length) last.text += event.delta;
    else thoughts.push({ after: reply.text.length, text: event.delta });
  }),
  "response.created": (all, event) => all.replying(event.response.id),
  "response.output_item.added": (all, event) => all.more(event, reply => { reply.item = event.item.id; }),
  "response.output_audio_transcript.delta": (all, event) => all.more(event, reply => { reply.text += event.delta; }),
  "response.output_text.delta": (all, event) => all.more(event, reply => { reply.text += event.delta; }),
  "response.output_audio.delta": (all, event) => all.more(event, (reply, turn) => {
    reply.waitedMs ??= turn.endedAt && performance.now() - turn.endedAt;
    reply.sound.push(fromBase64(event.delta));
  }),
  "response.done": (all, event) => all.more({ response_id: event.response.id }, reply => {
    if (reply.status === "coming") reply.status = event.response.status;
  }),
  // Of a reply that was stopped: the words that were heard.
  "conversation.item.retrieved": (all, event) => {
    const turn = all.turns.findLast(turn => turn.reply?.item === event.item.id);
    if (!turn) return;
    turn.reply.heard = event.item.content.map(part => part.transcript ?? part.text ?? "").join("");
    all.changed(turn);
  },
};
