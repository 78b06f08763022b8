// One connection to the server that this page is from, by OpenAI's Realtime protocol. What its events mean is
// conversation.js's.

// Why there is no connection: "busy", "key" or "lost".
export class NoConnection extends Error {
  constructor(reason) { super(reason); this.reason = reason; }
}

const BUSY = 1013, NO_KEY = 1008;

export class Connection {
  // onEvent: what the server tells. onEnd: why there is nothing more.
  constructor(key, onEvent, onEnd) { Object.assign(this, { key, onEvent, onEnd }); }

  // Settles when the session is there; rejects with NoConnection.
  open() {
    const address = new URL("v1/realtime", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    address.search = address.hash = "";
    this.socket = new WebSocket(address, this.key ? ["realtime", `openai-insecure-api-key.${this.key}`] : []);
    return new Promise((resolve, reject) => {
      let there = false, refusal;
      this.socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.type === "session.created") { there = true; resolve(event.session); }
        if (event.type === "error" && !there) refusal = event.error;
        else this.onEvent(event);
      };
      this.socket.onclose = async ({ code }) => {
        if (this.left) return;
        const reason = await why(code, refusal);
        if (there) this.onEnd(reason);
        else reject(new NoConnection(reason));
      };
    });
  }

  get there() { return this.socket?.readyState === WebSocket.OPEN; }

  send(type, fields = {}) {
    if (this.there) this.socket.send(JSON.stringify({ type, ...fields }));
  }

  leave() {
    this.left = true;
    this.socket?.close();
  }
}

// A handshake that was refused says nothing to a page: the server is asked how it is.
async function why(code, refusal) {
  if (code === BUSY || /busy/.test(refusal?.code ?? "")) return "busy";
  if (code === NO_KEY || /api_key/.test(refusal?.code ?? "")) return "key";
  if (refusal || code !== 1006) return "lost";
  const answer = await fetch("readyz").catch(() => undefined);
  return answer?.status === 503 ? "busy" : answer?.status === 401 ? "key" : "lost";
}
