// Talking to the server that the page came from: keys, errors in words, streams.

const KEY = "kpray-key";

class Trouble extends Error {
  constructor(message, requestId = "") {
    super(message);
    this.requestId = requestId;
  }
}

let keyAsked = null; // while the dialog is open; whoever else is refused waits for the same answer

function askForKey(said) {
  keyAsked ??= new Promise((resolve) => {
    const dialog = byId("key");
    byId("key-said").textContent = said;
    byId("key-value").value = "";
    dialog.returnValue = "";
    dialog.addEventListener(
      "close",
      () => {
        keyAsked = null;
        resolve(dialog.returnValue === "given");
      },
      { once: true },
    );
    dialog.showModal();
  });
  return keyAsked;
}

function takeKey(event) {
  event.preventDefault();
  const key = byId("key-value").value.trim();
  if (!/^[!-~]+$/.test(key)) {
    byId("key-said").textContent = "A key has letters, digits and signs, and no spaces. Was more copied than the key?";
    return;
  }
  keepKey(key);
  byId("key").close("given");
}

function keepKey(key) {
  remember("session", KEY, key);
  byId("forget-key").hidden = !key;
}

function startKeys() {
  keepKey(recall("session", KEY));
  byId("key-form").addEventListener("submit", takeKey);
  byId("key-cancel").addEventListener("click", () => byId("key").close(""));
  byId("forget-key").addEventListener("click", () => {
    keepKey("");
    byId("status").textContent = "The key is forgotten.";
  });
}

// One request; a missing or wrong key is asked for, and the request sent again.
async function call(path, options = {}) {
  for (;;) {
    const key = recall("session", KEY);
    const response = await send(path, options, key);
    if (response.status !== 401) {
      if (!response.ok) throw await troubleOf(response);
      return response;
    }
    if (recall("session", KEY) !== key) continue; // another request was given a key meanwhile
    if (!(await askForKey(key ? "The server does not know that key." : ""))) throw await troubleOf(response);
  }
}

async function send(path, options, key) {
  const headers = { ...options.headers, ...(key && { authorization: `Bearer ${key}` }) };
  try {
    return await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble("The server cannot be reached. Is it still running, and is this machine online?");
  }
}

async function troubleOf(response) {
  const requestId = response.headers.get("x-request-id") ?? "";
  const body = await response.json().catch(() => null); // a proxy in between may answer with a page of its own
  const said = body?.error?.message;
  return new Trouble(said ? sentence(said) : `The server answered with status ${response.status}.`, requestId);
}

const sentence = (said) => said.charAt(0).toUpperCase() + said.slice(1) + (/[.!?]$/.test(said) ? "" : ".");

// The chunks of a streamed answer.
async function* chat(body, signal) {
  const options = { method: "POST", headers: { "content-type": "application/json" }, signal };
  const asked = { ...body, stream: true, stream_options: { include_usage: true } };
  const response = await call("/v1/chat/completions", { ...options, body: JSON.stringify(asked) });
  const requestId = response.headers.get("x-request-id") ?? "";
  for await (const data of events(response.body, requestId)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data);
    if (chunk.error) throw new Trouble(sentence(chunk.error.message), requestId);
    yield chunk;
  }
  throw new Trouble("The connection broke off before the answer was complete.", requestId);
}

// The data of server-sent events, which may be cut anywhere, also inside a letter.
async function* events(body, requestId) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Trouble("The connection broke off before the answer was complete.", requestId);
    });
    if (done) return;
    const lines = (text + decoder.decode(value, { stream: true })).split("\n");
    text = lines.pop();
    for (const line of lines) if (line.startsWith("data:")) yield line.slice(5).trim();
  }
}
