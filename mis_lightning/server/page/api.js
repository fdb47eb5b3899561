// Requests to the server: one at a time where something changes, so that clicks arrive in their order.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(method, path, body) {
  const options = { method, credentials: "same-origin", headers: {} };
  if (body instanceof Blob) {
    options.body = body;
    options.headers["content-type"] = "image/png";
  } else if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, "The server is not responding. Your work is saved up to the last change. Is `mis annotate` still running?");
  }
  if (answer.ok) return answer;
  let detail = `The server answered ${answer.status}.`;
  try {
    const told = (await answer.json()).detail;
    if (typeof told === "string") detail = told;
    else if (Array.isArray(told)) detail = told.map((one) => one.msg).join("; ");
  } catch { /* no JSON: the status is all there is */ }
  throw new Refused(answer.status, detail);
}

let tail = Promise.resolve();
let unanswered = 0;

/** Whether something asked for is not answered yet. */
export const waiting = () => unanswered > 0;

/** Wait for all changes asked for so far. */
export const settled = () => tail.catch(() => {});

/** Do something after all changes asked for before. */
export function queued(work) {
  unanswered += 1;
  tail = tail.catch(() => {}).then(work).finally(() => { unanswered -= 1; });
  return tail;
}

export const get = async (path) => (await request("GET", path)).json();
export const send = async (method, path, body) => (await request(method, path, body)).json();
export const download = (path) => request("GET", path);

/**
 * The tab this page works in. A reload finds its own again; a copied tab, which has the other's storage, does not
 * take it over; a new one goes on where a closed one of this browser stopped.
 */
export async function openTab(token) {
  const channel = new BroadcastChannel("mis-annotate");
  const nonce = Math.random();
  const held = new Set();
  let mine = sessionStorage.getItem("mis-tab");
  let confirmed = false;
  channel.onmessage = ({ data }) => {
    if (data.held) held.add(data.held);
    else if (mine && (confirmed || (data.tab === mine && nonce < data.nonce))) channel.postMessage({ held: mine });
  };
  channel.postMessage({ tab: mine, nonce });
  await new Promise((done) => setTimeout(done, 120));
  if (held.has(mine)) mine = null;
  let answer;
  try {
    answer = await send("POST", "api/tabs", { tab: mine, open: [...held].slice(0, 100), token });
  } catch (error) {
    channel.close();
    throw error;
  }
  mine = answer.tab;
  confirmed = true;
  sessionStorage.setItem("mis-tab", mine);
  return mine;
}
