// The connection to the server: one WebSocket a tab, requests by number, opened again when it breaks.

/**
 * connection.ask(name, settings, onEvent) -> {done, stop()}
 *   done: a promise of the last event ({event: "end" | "error" | "stopped" | "lost"}); it never rejects.
 *   A later ask of the same name replaces the earlier one: that one is stopped and its events are dropped.
 * connection.onState(fn): fn({state, message}) for connecting, starting, ready, restarting, lost.
 */
export function connect(address = socketAddress()) {
  const open = new Map(); // id -> {name, onEvent, finish, message}
  const listeners = new Set();
  let socket = null;
  let id = 0;
  let wait = 250;
  let latest = { state: "connecting", message: "" };

  function tell(state, message = "") {
    latest = { state, message };
    for (const listener of listeners) listener(latest);
  }

  function begin() {
    socket = new WebSocket(address);
    socket.onopen = () => {
      wait = 250;
      for (const request of open.values()) send(request.message);
    };
    socket.onmessage = ({ data }) => receive(JSON.parse(data));
    socket.onclose = () => {
      // What was being answered is gone: it is asked again as soon as there is a connection.
      tell("lost", "No connection to elman lab. Is it still running? Trying again …");
      setTimeout(begin, wait);
      wait = Math.min(2 * wait, 4000);
    };
  }

  function send(message) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  function receive(event) {
    if (event.event === "worker") return tell(event.state, event.message);
    const request = open.get(event.of);
    if (!request) return undefined; // an answer that nobody waits for any more
    if (["end", "error", "stopped"].includes(event.event)) {
      open.delete(event.of);
      request.onEvent(event);
      return request.finish(event);
    }
    return request.onEvent(event);
  }

  function ask(name, settings, onEvent = () => {}) {
    for (const [other, request] of open) if (request.name === name) stop(other, true);
    const mine = ++id;
    const message = { do: "ask", id: mine, name, settings };
    const done = new Promise((finish) => open.set(mine, { name, onEvent, finish, message }));
    send(message);
    return { done, stop: () => stop(mine, false) };
  }

  function stop(which, replaced) {
    const request = open.get(which);
    if (!request) return;
    send({ do: "stop", id: which });
    if (!replaced) return; // its "stopped" arrives and ends it
    open.delete(which);
    request.finish({ event: "stopped", of: which, replaced: true });
  }

  begin();
  return {
    ask,
    onState(listener) {
      listeners.add(listener);
      listener(latest);
      return () => listeners.delete(listener);
    },
  };
}

function socketAddress() {
  const address = new URL("socket", document.baseURI);
  address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
  address.search = location.search;
  address.hash = "";
  return address.href;
}
