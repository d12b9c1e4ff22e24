/**
 * The files of sessions, over HTTP. No DOM.
 *
 * @typedef {{id: string, name: string, type: string, size: number}} File
 *   As `user_message` and `tool_call` list it; `type` is its media type, `size` in bytes.
 */

import { CommandError } from "./errors.js";

const LEFT_MS = 60_000; // a link that is good for less is asked for anew

export class Files {
  #base;
  #bearer;
  #share;
  #links = new Map(); // path → {url, expires_at}

  /**
   * @param {() => URL} base  the URL of `/api/`, with the slash at its end
   * @param {() => Promise<string | undefined>} bearer
   * @param {() => string | undefined} [share]  by which we came
   */
  constructor(base, bearer, share = () => undefined) {
    this.#base = base;
    this.#bearer = bearer;
    this.#share = share;
  }

  /**
   * @param {string} session_id
   * @param {Blob & {name?: string}} file  or any other `Blob`
   * @param {{name?: string, signal?: AbortSignal, progress?: (fraction: number) => void}} [options]
   *   `progress` needs a browser
   * @returns {Promise<File>} for `send` @throws {CommandError}
   */
  async upload(session_id, file, { name = file.name ?? "file", signal, progress } = {}) {
    const url = this.#url(`sessions/${session_id}/files?name=${encodeURIComponent(name)}`);
    const headers = { ...(await this.#headers()), "content-type": file.type || "application/octet-stream" };
    const post = progress && globalThis.XMLHttpRequest ? posted : fetched;
    return (await post(url, headers, file, signal, progress)).file;
  }

  /**
   * An address that needs no header, for an `<img>` or a download.
   * @param {string} session_id
   * @param {string} file_id
   * @returns {Promise<string>} good for some minutes @throws {CommandError}
   */
  async url(session_id, file_id) {
    const path = `sessions/${session_id}/files/${encodeURIComponent(file_id)}/url`;
    const known = this.#links.get(path);
    if (known && known.expires_at - Date.now() > LEFT_MS) return known.url;
    const { url, expires_at } = await fetched(this.#url(path), await this.#headers());
    const link = { url: new URL(url, new URL("../", this.#base())).href, expires_at };
    this.#links.set(path, link);
    return link.url;
  }

  #url(path) {
    return new URL(path, this.#base());
  }

  async #headers() {
    const share = this.#share();
    return { authorization: `Bearer ${await this.#bearer()}`, ...(share && { share }) };
  }
}

async function fetched(url, headers, body, signal) {
  const response = await fetch(url, { method: "POST", headers, body, signal }).catch((error) => {
    throw lost(error);
  });
  return said(response.status, await response.text());
}

/** The same, telling how far it is, which `fetch` does not. */
function posted(url, headers, body, signal, progress) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded, total }) => progress(total ? loaded / total : 0);
    request.onload = () => {
      try {
        resolve(said(request.status, request.responseText));
      } catch (error) {
        reject(error);
      }
    };
    request.onerror = () => reject(lost());
    request.onabort = () => reject(lost({ name: "AbortError" }));
    signal?.addEventListener("abort", () => request.abort());
    if (signal?.aborted) request.abort();
    else request.send(body);
  });
}

function said(status, text) {
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // a proxy's own page
  }
  if (status < 300 && answer) return answer;
  throw new CommandError(answer?.error ?? { code: "internal", message: `The server answered ${status}.` });
}

const lost = (error) =>
  error?.name === "AbortError"
    ? new CommandError({ code: "dropped", message: "The file was not sent." })
    : new CommandError({ code: "offline", why: "unreachable", message: "The server cannot be reached.", retryable: true });
