/** Asks the server of a socket over plain HTTP: what it says of itself, and why it cannot be reached. */

const INFO_MS = 20_000;
const SLOW_MS = 5_000;
const WHY_MS = 4_000;

/** @returns {{socket: URL, info: URL}} @throws {TypeError} where there is neither a URL nor a page */
export function places(url, path = "/socket.io/") {
  const socket = new URL(path.replace(/\/?$/, "/"), new URL(url ?? "", globalThis.location?.href));
  socket.protocol = socket.protocol.replace("ws", "http");
  return { socket, info: new URL("../api/info", socket) };
}

/** What `GET /api/info` says. @throws {Error} in words for the user */
export async function serverInfo(url, ms = INFO_MS) {
  const response = await ask(url, ms);
  if (!response) throw unreachable();
  const said = response.ok && (await response.json().catch(() => null));
  if (!said) throw unusual(response.status);
  return said;
}

/**
 * The same, asked until there is an answer.
 * @param {(error: Error | null) => void} missed  there is none yet: why, or null where nothing is known
 * @param {AbortSignal} [signal]  nobody waits for it any more
 */
export async function untilSaid(url, missed, signal) {
  for (let wait = 500; !signal?.aborted; wait = Math.min(2 * wait, 10_000)) {
    const slow = setTimeout(missed, SLOW_MS, null);
    try {
      return await serverInfo(url);
    } catch (error) {
      missed(error);
    } finally {
      clearTimeout(slow);
    }
    await new Promise((again) => {
      setTimeout(again, wait);
      globalThis.addEventListener?.("online", again, { once: true });
    });
  }
  return {};
}

/**
 * Why no connection comes about, which a browser does not tell. It asks by a POST, which always
 * carries the page's origin, as the socket does; the server answers it like a handshake.
 * @returns {Promise<{code: string, message: string}>}
 */
export async function whyNot({ socket, info }) {
  const { location } = globalThis;
  if (offline()) return unreachable();
  const probe = new URL("?EIO=4&transport=websocket", socket);
  const response = await ask(probe, WHY_MS, { method: "POST" });
  if (response) {
    const said = (await response.json().catch(() => null)) ?? {};
    if (typeof said.error?.message === "string") return said.error;
    if (said.code === FORBIDDEN) return foreign(location?.origin);
    return said.code === undefined ? unusual(response.status) : blocked();
  }
  // on another host, which lets only the pages of listed origins read its answers
  if (!location || location.origin === socket.origin) return unreachable();
  if (await ask(info, WHY_MS)) return blocked();
  return (await ask(info, WHY_MS, { mode: "no-cors" })) ? foreign(location.origin) : unreachable();
}

const FORBIDDEN = 4; // as Engine.IO numbers its refusals

/** @returns {Promise<Response | null>} */
const ask = (url, ms, how) => fetch(url, { ...how, signal: AbortSignal.timeout(ms) }).catch(() => null);

const problem = (code, message, details) => Object.assign(new Error(message), { code, ...details });
export const offline = () => globalThis.navigator?.onLine === false;
const unreachable = () =>
  offline() ? problem("offline", "This device is offline.", { why: "device_offline" }) : problem("unreachable", "The server cannot be reached.");
const unusual = (status) =>
  problem("unreachable", `The server cannot be reached: something in its place answers ${status}.`, { why: "odd_answer", status });
const blocked = () =>
  problem("unreachable", "The server answers, but no live connection could be opened. Something in between may be blocking it.", { why: "blocked" });
const foreign = (origin) =>
  problem("forbidden_origin", `The server refuses pages from ${origin}. Its operator can let them in: ALLOWED_ORIGINS, or the Host header of the proxy.`, { origin });
