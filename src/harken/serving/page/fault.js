// What went wrong, in words, with the way out.

import { at } from "./elements.js";

const SAYS = {
  denied: "The microphone is not allowed for this page. Allow it beside the address above, and press the button again. A recording works without it.",
  missing: "There is no microphone. Plug one in, or drop a recording here.",
  taken: "The microphone cannot be opened: another program may be using it.",
  insecure: "Browsers give the microphone only to pages on this machine or under https. A recording works without it.",
  lost: "The connection to Harken is lost. What was said stays here to be read, but Harken has forgotten it.",
  busy: "Harken is talking with as many people as it can right now. Try again in a moment.",
  over: "This conversation has lasted as long as the server lets one last. Another begins anew.",
  leaving: "The server is about to stop. What was said stays here to be read.",
  key: "This server asks for its API key.",
  file: detail => `${detail} is no recording that this browser can read.`,
  long: detail => `A recording may be ${detail} long.`,
  notice: detail => `${detail[0].toUpperCase()}${detail.slice(1)}.`,
  server: detail => detail,
  page: detail => `This page has a fault: ${detail}`,
};
const MENDS = { lost: "Connect again", over: "Begin anew", leaving: "Connect again", busy: "Try again", key: "Connect" };

// Args: mend: what the button does; it is given the API key where that is asked for.
export function fault(kind, mend, detail) {
  const says = SAYS[kind], button = at("mend");
  at("fault").dataset.kind = kind;
  at("fault-text").textContent = typeof says === "string" ? says : says(detail);
  at("key-form").hidden = kind !== "key";
  button.hidden = !(mend && MENDS[kind]);
  button.textContent = MENDS[kind] ?? "";
  button.onclick = () => mend(at("key").value.trim());
  at("key-form").onsubmit = event => { event.preventDefault(); button.onclick(); };
  at("dismiss").onclick = settled;
  at("fault").hidden = false;
  if (kind === "key") at("key").focus();
}

export function settled() { at("fault").hidden = true; }
