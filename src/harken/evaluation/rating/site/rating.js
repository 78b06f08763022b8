// Plays a dialogue, takes the ratings of its last reply, and goes on. Nothing is kept here but what is on show.

import { WORDS } from "./words.js";

const at = id => document.getElementById(id);
let language = navigator.language.startsWith("zh") ? "zh" : "en";
let state, number, item, active = 0, keeping = Promise.resolve();

async function ask(path, options) {
  const answer = await fetch(path, options);
  const told = await answer.json();
  if (!answer.ok) throw new Error([told.error, told.hint].filter(Boolean).join(": "));
  return told;
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function say() {
  const words = WORDS[language];
  document.documentElement.lang = language;
  document.title = words.title;
  for (const place of document.querySelectorAll("[data-say]")) place.textContent = words[place.dataset.say];
  at("language").textContent = words.other;
  at("rater").textContent = words.rater(state.rater);
  if (item) { showTurns(); showScales(); }
  showProgress();
}

function showProgress() {
  const done = state.done.filter(Boolean).length;
  at("bar").max = state.done.length;
  at("bar").value = done;
  at("count").textContent = WORDS[language].count(done, state.done.length);
}

function showTurns() {
  const words = WORDS[language], last = item.turns.length - 1;
  const turns = item.turns.flatMap((turn, n) => [
    said("user", words.user, turn.text, `items/${number}/${n}/user`),
    said(n === last ? "reply rated" : "reply", n === last ? words.rated : words.reply, turn.reply ?? words.none,
         turn.spoken ? `items/${number}/${n}/reply` : null),
  ]);
  at("turns").lang = item.language;
  at("turns").replaceChildren(...turns);
}

function said(kind, who, text, sound) {
  const name = element("span", { className: "who", lang: language }, who);
  const player = sound ? element("audio", { controls: true, preload: "auto", src: sound })
    : element("span", { className: "who", lang: language }, WORDS[language].silent);
  return element("div", { className: `said ${kind}` }, name, element("p", {}, text), player);
}

function showScales() {
  at("scales").replaceChildren(...state.dimensions.map((dimension, place) => {
    const [title, meanings] = WORDS[language].scales[dimension];
    const marks = [1, 2, 3, 4, 5].map(rating => {
      const chosen = item.ratings[dimension] === rating;
      const mark = element("button", { type: "button", className: "mark", onclick: () => rate(place, rating) }, `${rating}`);
      mark.setAttribute("aria-pressed", chosen);
      return mark;
    });
    const told = [1, 3, 5].map(rating => element("span", {}, element("b", {}, `${rating}`), ` ${meanings[rating]}`));
    return element("fieldset", { className: place === active ? "scale active" : "scale" },
      element("legend", {}, title), element("div", { className: "marks" }, ...marks),
      element("div", { className: "meanings" }, ...told));
  }));
  at("next").disabled = !whole();
  at("back").disabled = number === 0;
}

const whole = () => state.dimensions.every(dimension => dimension in item.ratings);

async function open(wanted) {
  hush();
  item = await ask(`items/${wanted}`);
  number = wanted;
  const open = state.dimensions.findIndex(dimension => !(dimension in item.ratings));
  active = Math.max(0, open);
  at("end").hidden = true;
  at("task").hidden = false;
  say();
  scrollTo(0, 0);
}

function finish() {
  hush();
  item = undefined;
  at("task").hidden = true;
  at("end").hidden = false;
  say();
}

async function next() {
  await keeping;
  if (!item || !whole()) return;
  const after = state.done.findIndex((done, n) => !done && n > number);
  const wanted = after >= 0 ? after : state.done.indexOf(false);
  await (wanted >= 0 ? open(wanted) : finish());
}

async function back() {
  await keeping;
  const before = item ? number - 1 : number ?? state.done.length - 1;
  if (before >= 0) await open(before);
}

// One after the other: answers that overtake each other would tell of an earlier state.
function rate(place, rating) {
  active = Math.min(place + 1, state.dimensions.length - 1);
  keeping = keeping.then(() => keep(place, rating));
}

async function keep(place, rating) {
  const dimension = state.dimensions[place];
  try {
    const told = await ask("ratings", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ number, dimension, rating }),
    });
    state.done = told.done;
    item.ratings[dimension] = rating;
    at("fault").hidden = true;
  } catch (error) {
    active = place;
    fault(error);
  }
  showScales();
  showProgress();
}

function fault(error) {
  at("fault").textContent = `${WORDS[language].lost} (${error.message})`;
  at("fault").hidden = false;
}

const players = () => [...at("turns").querySelectorAll("audio")];

function hush() {
  for (const player of players()) { player.onended = null; player.pause(); }
}

function play(from) {
  const [player, ...rest] = from;
  if (!player) return;
  player.currentTime = 0;
  player.onended = () => play(rest);
  player.play().catch(() => undefined);  // stopped before it began
}

function playAll() {
  const playing = players().some(player => !player.paused);
  hush();
  if (!playing) play(players());
}

function playLast() {
  hush();
  play(players().slice(-1));
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const deeds = {
    Enter: next, ArrowLeft: back, Backspace: back, " ": playAll, r: playLast, R: playLast,
    ArrowUp: () => { active = Math.max(0, active - 1); showScales(); },
    ArrowDown: () => { active = Math.min(state.dimensions.length - 1, active + 1); showScales(); },
  };
  const deed = /^[1-5]$/.test(event.key) ? () => rate(active, Number(event.key)) : deeds[event.key];
  const always = ["Enter", "ArrowLeft", "Backspace"].includes(event.key);
  if (!deed || (!item && !always)) return;
  event.preventDefault();
  deed();
}

async function start() {
  state = await ask("state");
  at("language").onclick = () => { language = language === "en" ? "zh" : "en"; say(); };
  at("play").onclick = playAll;
  at("again").onclick = playLast;
  at("next").onclick = next;
  at("back").onclick = back;
  at("review").onclick = back;
  addEventListener("keydown", pressed);
  const wanted = state.done.indexOf(false);
  await (wanted >= 0 ? open(wanted) : finish());
}

start().catch(fault);
