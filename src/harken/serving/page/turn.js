// One turn on the page: what the user said and how, and the reply, each with its words, its waveform and its player.

import { drawn, element } from "./elements.js";
import { adjective, colour, percent, ranked } from "./emotions.js";
import { RATE_HZ, joined, peaks, wave } from "./sound.js";

const BARS = 72;
let playing;  // one at a time

export class TurnCard {
  constructor(turn) {
    this.user = said("user", "You");
    this.reply = said("reply", "Harken");
    this.mix = element("div", { className: "mix", role: "img" });
    this.why = element("p", { className: "why" });
    this.user.box.append(this.mix, this.why);
    this.thoughts = element("ul", { className: "thoughts", ariaLabel: "Thought while speaking, and not said" });
    this.reply.box.append(this.thoughts);
    this.root = element("article", { className: "turn" }, this.user.box, this.reply.box);
    this.show(turn);
  }

  show(turn) {
    this.user.box.hidden = turn.item === undefined;
    this.reply.box.hidden = !turn.reply;
    this.#user(turn);
    if (turn.reply) this.#reply(turn.reply);
  }

  #user(turn) {
    const { user } = this, none = turn.heard || turn.reply ? "(the words were not understood)" : "";
    user.box.classList.toggle("coming", turn.hearing);
    user.words.replaceChildren(...(turn.words ? marked(turn.words, turn.cause) : [turn.hearing ? "…" : none]));
    user.words.classList.toggle("soft", !turn.words);
    if (turn.said?.length) user.player.load(turn.said, 1);
    if (!turn.heard) return;
    const { emotion, scores } = turn.heard, shares = ranked(scores);
    user.box.style.setProperty("--feeling", colour(turn.cause?.emotion ?? emotion));
    user.note.textContent = shares.slice(0, 3).map(([name, share]) => `${name} ${percent(share)}`).join(" · ");
    this.mix.ariaLabel = `heard in the voice: ${shares.map(([name, share]) => `${name} ${percent(share)}`).join(", ")}`;
    this.mix.replaceChildren(...shares.map(([name, share]) => {
      const part = element("span", { title: `${name} ${percent(share)}` });
      part.style.flexGrow = 100 * share;  // less than 1 in all would leave a gap
      part.style.background = colour(name);
      return part;
    }));
    this.why.replaceChildren(...because(turn));
  }

  #reply(reply) {
    const box = this.reply, going = reply.status === "coming";
    box.box.classList.toggle("coming", going);
    const unheard = reply.heard === undefined ? "" : reply.text.slice(reply.heard.length);
    const heard = reply.text.slice(0, reply.text.length - unheard.length);
    box.words.replaceChildren(heard || (going ? "…" : ""), ...(unheard ? [element("s", {}, unheard)] : []));
    const notes = reply.waitedMs === undefined ? [] : [`first sound after ${(reply.waitedMs / 1000).toFixed(2)} s`];
    if (reply.heard !== undefined) notes.push("interrupted");
    if (reply.status === "failed") notes.push("failed");
    box.note.textContent = notes.join(" · ");
    this.thoughts.replaceChildren(...(reply.thoughts ?? []).map(({ text }) => element("li", {}, text)));
    if (reply.sound.length) box.player.load(reply.sound, reply.sound.length);
  }
}

function said(kind, who) {
  const note = element("span", { className: "note" });
  const words = element("p", { className: "words" });
  const player = new Player(who);
  const head = element("p", { className: "head" }, element("span", { className: "who" }, who), note);
  return { box: element("section", { className: `said ${kind}`, ariaLabel: who }, head, words, player.root), note, words, player };
}

// The words, with those marked that the cause rests on.
function marked(words, cause) {
  if (!cause?.words) return [words];
  const { start, end } = cause.words, letters = [...words];  // the server counts characters
  const part = (from, to) => letters.slice(from, to).join("");
  return [part(0, start), element("mark", {}, part(start, end)), part(end)];
}

function because({ heard, cause }) {
  const feeling = cause?.emotion ?? heard.emotion;
  const named = element("b", {}, adjective(feeling));
  if (!cause?.emotion) return ["You sound ", named, "."];
  return cause.cause ? ["You seem ", named, `, because of “${cause.cause}”`] : ["You seem ", named, "."];
}

// A waveform that plays.
class Player {
  constructor(who) {
    this.button = element("button", { type: "button", className: "play", ariaLabel: `Play: ${who}` });
    this.button.append(drawn("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, drawn("path", {})));
    this.bars = drawn("path", { class: "bars" });
    this.done = drawn("path", { class: "done" });
    this.line = drawn("svg", { class: "line", viewBox: `0 0 ${4 * BARS} 32`, preserveAspectRatio: "none", "aria-hidden": "true" }, this.bars, this.done);
    this.length = element("span", { className: "length" });
    this.root = element("div", { className: "player", hidden: true }, this.button, this.line, this.length);
    this.button.onclick = () => (this.audio && !this.audio.paused ? this.stop() : this.play());
    this.#icon(false);
  }

  // Sound, whole or in parts so far; `version` tells whether it is known already.
  load(sound, version) {
    if (this.version === version) return;
    this.version = version;
    this.samples = Array.isArray(sound) ? joined(sound) : sound;
    const path = peaks(this.samples, BARS).map((peak, n) => `M${4 * n + 2} ${16 - 15 * peak - 0.75}v${30 * peak + 1.5}`).join("");
    this.bars.setAttribute("d", path);
    this.done.setAttribute("d", path);
    this.length.textContent = `${(this.samples.length / RATE_HZ).toFixed(1)} s`;
    this.root.hidden = false;
    this.stop();
    this.audio = undefined;
    this.#mark(0);
  }

  play() {
    playing?.stop();
    playing = this;
    this.audio ??= new Audio(URL.createObjectURL(wave(this.samples)));
    this.audio.currentTime = 0;
    this.audio.onended = () => this.stop();
    this.audio.play().then(() => this.#follow(), () => this.stop());
    this.#icon(true);
  }

  stop() {
    this.audio?.pause();
    this.#icon(false);
  }

  #follow() {
    this.#mark(this.audio.currentTime / this.audio.duration || 0);
    if (!this.audio.paused) requestAnimationFrame(() => this.#follow());
  }

  #mark(share) { this.line.style.setProperty("--played", `${100 * share}%`); }

  #icon(playing) {
    this.button.classList.toggle("playing", playing);
    this.button.querySelector("path").setAttribute("d", playing ? "M4 3h3v10H4zM9 3h3v10H9z" : "M4.5 2.5v11l9-5.5z");
  }
}
