// OpenAI's agents SDK, worked by lines of JSON: what it is to do comes in, what it is told goes out.
//
// In: any event of the protocol, to be sent; { call: [method of the session, …its arguments] };
// { sound: base64, commit: whether that ends the turn }.
// Out: every event of the server's, and what the SDK makes of them, as { type: "sdk.…", … }.

import { createInterface } from "node:readline";
import { RealtimeAgent, RealtimeSession } from "@openai/agents-realtime";

const [url, config] = process.argv.slice(2);
const agent = new RealtimeAgent({ name: "Harken", instructions: "Be brief." });
const session = new RealtimeSession(agent, { transport: "websocket", config: JSON.parse(config) });
const tell = event => console.log(JSON.stringify(event));

session.on("transport_event", tell);
session.on("audio", ({ data }) => tell({ type: "sdk.audio", bytes: data.byteLength }));
session.on("audio_interrupted", () => tell({ type: "sdk.audio_interrupted" }));
session.on("agent_end", (context, agent, said) => tell({ type: "sdk.agent_end", said }));
session.on("history_updated", history => tell({ type: "sdk.history", history }));
session.on("error", ({ error }) => tell({ type: "sdk.error", error: error.message ?? error }));
await session.connect({ apiKey: "none", url });

for await (const line of createInterface({ input: process.stdin })) {
  const { call, sound, commit, ...event } = JSON.parse(line);
  if (call) session[call[0]](...call.slice(1));
  else if (sound) session.sendAudio(new Uint8Array(Buffer.from(sound, "base64")).buffer, { commit });
  else session.transport.sendEvent(event);
}
session.close();
