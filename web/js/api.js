// The server, as this page asks it: one key, sentences for errors, and word of its coming and going.

const KEY = "medparse-key";

/** A refusal in the server's own sentence. */
export class Refusal extends Error {
  constructor(status, code, sentence) {
    super(sentence);
    Object.assign(this, { status, code });
  }
}

/** The connection: dispatches `gone`, `back`, `refused` (a key is missing or wrong) and `key`. */
class Server extends EventTarget {
  workspace = "";
  asksForKeys = false;
  /** The endpoint and the deployment that questions go to; empty is the default endpoint, by its traffic. */
  answerer = { endpoint: "", deployment: "" };
  #gone = false;

  // A tab's own storage ends with the tab.
  get key() {
    return sessionStorage.getItem(KEY) ?? "";
  }

  set key(key) {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
    this.dispatchEvent(new Event("key"));
  }

  async meet() {
    const { workspace, keys, version } = await this.call("/api/v1/server");
    Object.assign(this, { workspace, version, asksForKeys: keys });
  }

  /** A call that answers with JSON, text or bytes; throws a sentence otherwise. */
  async call(path, { method, json, body, headers = {}, signal, as = "json", key = this.key } = {}) {
    headers = { ...headers };
    if (key) headers.Authorization = `Bearer ${key}`;
    if (json !== undefined) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(json);
    }
    let reply;
    try {
      reply = await fetch(path, { method: method ?? (body === undefined ? "GET" : "POST"), headers, body, signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.#lost();
      throw new Refusal(0, "Gone", "The server does not answer. This page tries again by itself.");
    }
    if (!reply.ok) throw await this.#refusal(reply);
    if (as === "bytes") return reply.arrayBuffer();
    const text = await reply.text();
    return as === "text" || !text ? text : JSON.parse(text);
  }

  /** Where a question goes, and the header that names the deployment. */
  question(what) {
    const { endpoint, deployment } = this.answerer;
    const at = endpoint ? `/endpoints/${encodeURIComponent(endpoint)}` : "";
    return { path: `/api/v1${at}/${what}`, headers: deployment ? { "azureml-model-deployment": deployment } : {} };
  }

  /** A call of the management routes, under the workspace. */
  manage(path, options) {
    return this.call(`${this.workspace}${path}`, options);
  }

  /** As `call`, coming back as often as a busy server asks for it. */
  async patient(path, options) {
    for (let tries = 0; ; tries++) {
      try {
        return await this.call(path, options);
      } catch (error) {
        if (![429, 503].includes(error.status) || tries > 20) throw error;
        await pause(1000 * (error.after || 1), options.signal);
      }
    }
  }

  async #refusal(reply) {
    const body = await reply.json().catch(() => ({}));
    const sentence = body.message ?? `The server answered ${reply.status}.`;
    const refusal = new Refusal(reply.status, body.error?.code, sentence[0].toUpperCase() + sentence.slice(1));
    refusal.after = Number(reply.headers.get("retry-after"));
    if (reply.status === 401) this.dispatchEvent(new Event("refused"));
    return refusal;
  }

  async #lost() {
    if (this.#gone) return;
    this.#gone = true;
    this.dispatchEvent(new Event("gone"));
    for (;;) {
      await pause(1000);
      const ready = await fetch("/ready").then((reply) => reply.ok, () => false);
      if (ready) break;
    }
    this.#gone = false;
    this.dispatchEvent(new Event("back"));
  }
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => (clearTimeout(timer), reject(signal.reason)), { once: true });
  });
}

export const server = new Server();
