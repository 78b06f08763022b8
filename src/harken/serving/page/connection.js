// One connection to the server that this page is from, by OpenAI's Realtime protocol. What its events mean is
// conversation.js's.

// Why there is no connection: "busy", "key", "over", "leaving" or "lost".
export class NoConnection extends Error {
  constructor(reason) { super(reason); this.reason = reason; }
}

const SAID_WHEN_CLOSING = { server_busy: "busy", session_expired: "over", server_leaving: "leaving" };
const NEVER_OPENED = 1006;

export class Connection {
  // onEvent: what the server tells. onEnd: why there is nothing more.
  constructor(key, onEvent, onEnd) { Object.assign(this, { key, onEvent, onEnd }); }

  // Settles when the session is there; rejects with NoConnection.
  open() {
    const address = new URL("v1/realtime", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = address.hash = "";
    try {
      this.socket = new WebSocket(address, this.key ? ["realtime", `openai-insecure-api-key.${this.key}`] : []);
    } catch {  // no server's key has such characters
      return Promise.reject(new NoConnection("key"));
    }
    return new Promise((resolve, reject) => {
      let there = false;
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "session.created") { there = true; resolve(event.session); }
        if (there) this.onEvent(event);  // a refusal says the same as the closing after it
      };
      this.socket.onclose = async closing => {
        const reason = await why(closing, there);
        if (there) this.onEnd(reason);
        else reject(new NoConnection(reason));
      };
    });
  }

  get there() { return this.socket?.readyState === WebSocket.OPEN; }

  send(type, fields = {}) {
    if (this.there) this.socket.send(JSON.stringify({ type, ...fields }));
  }
}

async function why({ code, reason }, there) {
  if (SAID_WHEN_CLOSING[reason]) return SAID_WHEN_CLOSING[reason];
  if (there || code !== NEVER_OPENED) return "lost";
  // Of a handshake that was refused a page is told nothing, so it asks where an answer comes.
  const answer = await fetch("v1/audio/replies", { method: "POST" }).catch(() => undefined);
  return answer?.status === 401 ? "key" : answer?.status === 503 ? "busy" : "lost";
}
