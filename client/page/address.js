/** The page's address: `c/<id>` below the root for a session, the root itself for a new one. */

/** Where the page is mounted; a prefix may be one that the server does not know. */
export const root = new URL("../../", import.meta.url);

const icon = document.querySelector('link[rel="icon"]');
icon.href = icon.href; // browsers resolve it anew whenever the address changes

/** @param {string | null} session_id @returns {string} */
export const addressOf = (session_id) =>
  new URL(session_id ? `c/${encodeURIComponent(session_id)}` : "", root).href;

/** @returns {string | null} the session that the address names */
export function named() {
  const [, id] = /^c\/([^/]+)$/.exec(location.pathname.slice(root.pathname.length)) ?? [];
  try {
    return id ? decodeURIComponent(id) : null;
  } catch {
    return id; // of no session
  }
}

/**
 * Show a session's address. It is a new step for Back, unless the one before was a new session's.
 * What was asked of the page, such as its language or its frame, stays for a reload.
 * @param {string | null} session_id
 */
export function follow(session_id) {
  const before = named();
  if (before === session_id) return;
  history[before ? "pushState" : "replaceState"](null, "", addressOf(session_id) + location.search);
}

/**
 * Take what signs in out of the address at once: nobody is to copy it, and no history to keep it.
 * @returns {URLSearchParams | null} what a link in an email, or a provider, brought along
 */
export function landing() {
  const brought = new URLSearchParams(location.hash.slice(1));
  if (!brought.has("access_token") && !brought.has("error_description")) return null;
  history.replaceState(null, "", location.pathname + location.search);
  return brought;
}

/**
 * Take `#session=<id>&share=<token>` out of the address, so that nobody copies it by accident. The
 * token stays with the step, for Back and reloads.
 * @returns {string | undefined} the token that opens the session
 */
export function invitation() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const session_id = fragment.get("session");
  if (session_id) history.replaceState({ share: fragment.get("share") }, "", addressOf(session_id));
  return history.state?.share ?? undefined;
}
