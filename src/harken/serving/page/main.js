// The page: a button to talk, the conversation, and how it felt. Here buttons and keys meet the connection, the
// microphone and the loudspeaker.

import { Connection } from "./connection.js";
import { Conversation } from "./conversation.js";
import { at } from "./elements.js";
import { colour } from "./emotions.js";
import { fault, settled } from "./fault.js";
import { Microphone } from "./microphone.js";
import { RATE_HZ, decoded, loudness, toBase64 } from "./sound.js";
import { Speaker } from "./speaker.js";
import { trajectory } from "./trajectory.js";
import { TurnCard } from "./turn.js";

const PART = 5 * RATE_HZ;  // of a recording, sent at a time
const cards = new Map(), changed = new Set();
const conversation = new Conversation(show);
const microphone = new Microphone(sound => hear(sound), () => lostMicrophone("missing"));
const speaker = new Speaker(() => showState());
let connection, connecting, key;
let longestFileS = 60;  // as long as a turn may be; a server of Harken's says so itself
let listening = false;  // hands free: the server finds the turns
let holding = false;  // the button is held
let busy = 0, doing = Promise.resolve();  // connecting, opening the microphone, reading a file

const format = { type: "audio/pcm", rate: RATE_HZ };
const setTurns = turn_detection => connection.send("session.update", {
  session: { type: "realtime", ...thoughts(),
             audio: { input: { format, transcription: { model: "harken" }, turn_detection }, output: { format } } },
});

// Only a model that was taught to can reflect: others have no switch for it.
function thoughts() {
  if (at("reflecting").hidden) return {};
  const wanted = at("reflect").checked;
  return { harken: { reflect: wanted, reflections: wanted } };
}

// ---- the connection

async function connected() {
  if (connection?.there) return;
  connecting ??= connectAnew().finally(() => { connecting = undefined; });
  await connecting;
}

async function connectAnew() {
  const fresh = new Connection(key, take, ended);
  const session = await fresh.open();
  connection = fresh;
  conversation.begin();
  at("model").textContent = session.model ?? "";
  at("reflecting").hidden = !session.harken_reflects;
  longestFileS = session.harken_turn_seconds ?? longestFileS;
  setTurns(null);
  settled();
}

function ended(reason) {
  stopListening();
  speaker.hush();
  for (const turn of conversation.turns) {
    turn.hearing = false;
    if (turn.reply?.status === "coming") turn.reply.status = "failed";
    show(turn);
  }
  refused({ reason });
}

function refused(error) {
  if (!error.reason) console.error(error);
  const mend = error.reason === "key" ? given => { key = given; retry(); } : retry;
  fault(error.reason ?? "page", mend, error.message);
  showState();
}

const retry = () => attempt(connected);

function take(event) {
  if (event.type === "input_audio_buffer.speech_started" && !listening) return;  // it was on its way when the button was pressed
  if (event.type.startsWith("input_audio_buffer.speech_")) interrupt();  // by the end of a turn a guard may have said something
  conversation.take(event);
  if (event.type === "response.output_audio.delta") {
    const { reply } = conversation.replies.get(event.response_id) ?? {};
    if (reply) speaker.play(event.response_id, reply.sound.at(-1));
  }
  if (event.type === "conversation.item.truncated") connection.send("conversation.item.retrieve", { item_id: event.item_id });
  if (event.type === "harken.notice") fault("notice", undefined, event.text);
  if (event.type === "error") fault("server", undefined, event.error.message);
  showState();
}

// ---- talking

// One thing after the other.
function attempt(deed) {
  busy += 1;
  showState();
  doing = doing.then(deed).catch(refused).finally(() => { busy -= 1; showState(); });
  return doing;
}

// The connection and the microphone; whether both are there.
async function opened() {
  speaker.wake();
  await connected();
  await microphone.start();
  if (!connection?.there) microphone.stop();  // it was lost meanwhile, and ended() says so
  return microphone.open;
}

const startListening = () => attempt(async () => {
  if (!await opened()) return;
  setTurns({ type: "server_vad" });
  listening = true;
});

function stopListening() {
  if (listening && connection.there) setTurns(null);
  if (listening || holding) clear();
  listening = holding = false;
  microphone.stop();
  for (const turn of conversation.turns) if (turn.hearing) { turn.hearing = false; show(turn); }
  showState();
}

function lostMicrophone(reason) {
  stopListening();
  fault(reason);
}

function hear(sound) {
  document.body.style.setProperty("--level", loudness(sound).toFixed(3));
  if (listening || holding) send(sound);
}

function send(sound) {
  conversation.sending(sound);
  connection.send("input_audio_buffer.append", { audio: toBase64(sound) });
}

async function hold() {
  if (holding || busy) return;
  let released = false;
  for (const kind of ["pointerup", "pointercancel", "keyup", "blur"])
    addEventListener(kind, () => { released = true; }, { once: true });
  await attempt(opened);
  if (released || !microphone.open || !connection?.there) return;
  stopReply();
  holding = true;
  showState();
}

function release() {
  if (!holding) return;
  holding = false;
  if (conversation.position > conversation.taken + 0.1 * RATE_HZ) ask();
  else clear();
  showState();
}

function clear() {
  connection.send("input_audio_buffer.clear");
  conversation.clear();
}

function ask() {
  connection.send("input_audio_buffer.commit");
  connection.send("response.create");
}

const sendFile = file => attempt(async () => {
  speaker.wake();
  const sound = await decoded(file).catch(() => undefined);
  if (!sound?.length) { fault("file", undefined, file.name); return; }
  await connected();
  if (sound.length > longestFileS * RATE_HZ) { fault("long", undefined, `${longestFileS} s`); return; }
  if (listening) stopListening();
  stopReply();
  for (let from = 0; from < sound.length; from += PART) send(sound.subarray(from, from + PART));
  ask();
});

// ---- the reply

// The server stops writing by itself when somebody speaks; what was heard of the reply only this side knows.
function interrupt() {
  const played = speaker.hush();
  const reply = played && conversation.replies.get(played.reply)?.reply;
  if (reply?.item) connection.send("conversation.item.truncate", { item_id: reply.item, content_index: 0, audio_end_ms: played.ms });
}

function stopReply() {
  if (conversation.last?.reply?.status === "coming") connection.send("response.cancel");
  interrupt();
}

// ---- what is shown

// Whatever there is more of is drawn once a frame, however often it changes.
function show(turn) {
  if (!changed.size) requestAnimationFrame(() => { for (const each of changed) draw(each); changed.clear(); });
  changed.add(turn);
}

function draw(turn) {
  let card = cards.get(turn);
  if (card) card.show(turn);
  else {
    cards.set(turn, card = new TurnCard(turn));
    at("turns").append(card.root);
  }
  at("welcome").hidden = true;
  if (turn.heard && turn.shown !== turn.heard) {
    turn.shown = turn.heard;
    document.body.style.setProperty("--feeling", colour(turn.heard.emotion));
    at("trajectory").hidden = false;
    at("chart").replaceChildren(trajectory(conversation.turns, chosen => cards.get(chosen).root.scrollIntoView({ block: "center", behavior: "smooth" })));
  }
  if (turn === conversation.last) at("end").scrollIntoView({ block: "end" });
}

const SAID = {
  idle: ["Press to talk", "Talk"], hold: ["Hold to talk", "Hold to talk"], waiting: ["One moment …", "Talk"],
  listening: ["Listening", "Stop listening"], hearing: ["I hear you", "Stop listening"], holding: ["Let go to send", "Let go to send"],
  thinking: ["Thinking …", "Stop listening"], speaking: ["Speaking", "Stop listening"],
};

function state() {
  const { last } = conversation;
  if (busy) return "waiting";
  if (holding) return "holding";
  if (last?.hearing) return "hearing";
  if (speaker.playing) return "speaking";
  if (connection?.there && last?.said && (!last.reply || (last.reply.status === "coming" && !last.reply.sound.length))) return "thinking";
  return listening ? "listening" : at("hold").checked ? "hold" : "idle";
}

function showState() {
  const now = state(), [status, name] = SAID[now];
  if (document.body.dataset.state === now) return;
  document.body.dataset.state = now;
  at("status").textContent = now === "speaking" && listening ? "Speaking. Talk, and it stops" : status;
  at("talk-name").textContent = at("hold").checked ? SAID.hold[1] : listening ? SAID.listening[1] : name;
  at("talk").setAttribute("aria-pressed", listening || holding);
}

// ---- buttons, keys and files

const toggle = () => (listening ? stopListening() : startListening());
const aimsElsewhere = target => target.closest("input, textarea, button:not(#talk), label.file");

function start() {
  const talk = at("talk"), held = () => at("hold").checked;
  talk.addEventListener("pointerdown", event => { if (held() && event.button === 0) hold(); });
  talk.addEventListener("click", event => { if (!held() && event.detail) toggle(); });  // keys come below
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);
  addEventListener("blur", release);
  addEventListener("keydown", event => {
    if (event.key === "Escape") stopReply();
    if (!(event.key === " " || (event.key === "Enter" && event.target === talk)) || aimsElsewhere(event.target)) return;
    event.preventDefault();
    if (event.repeat) return;
    if (held()) hold();
    else toggle();
  });
  // A switch that was clicked leaves the space bar to talking; one that was reached by keys is switched by it.
  let clicking = false;
  addEventListener("pointerdown", () => { clicking = true; });
  addEventListener("keydown", () => { clicking = false; });
  for (const name of ["hold", "reflect"]) at(name).addEventListener("change", ({ target }) => { if (clicking) target.blur(); });
  addEventListener("keyup", event => { if (event.key === " " || event.key === "Enter") release(); });
  at("hold").onchange = () => { if (listening) stopListening(); showState(); };
  at("reflect").onchange = () => { if (connection?.there) connection.send("session.update", { session: { type: "realtime", ...thoughts() } }); };
  at("file").onchange = ({ target }) => { if (target.files[0]) sendFile(target.files[0]); target.value = ""; };
  addEventListener("pointerdown", () => { if (speaker.ready) speaker.wake(); });
  dropping();
}

function dropping() {
  const holdsFile = event => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", event => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    at("drop").hidden = false;
  });
  addEventListener("dragleave", event => { if (!event.relatedTarget) at("drop").hidden = true; });
  addEventListener("drop", event => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    at("drop").hidden = true;
    sendFile(event.dataTransfer.files[0]);
  });
}

start();
showState();
