/** What the page says of the connection, the session and the model. */

import { problem, words } from "./words.js";

/**
 * Why there is no session.
 * @param {{code: string, message: string}} error
 * @param {boolean} signedIn
 */
export function trouble(error, signedIn) {
  if (error.code === "not_found") return words("gone");
  if (error.code === "unauthorized" && !signedIn) return words("no_sign_in");
  return problem(error);
}

/**
 * What the reader has to know now, the most urgent first.
 * @param {import("../session.js").SessionClient} client
 * @param {{silence: string, lasting: boolean, signedIn: boolean, model?: string}} page
 *   `silence`: why the server does not say what it is; `lasting`: whether the browser stores things
 */
export function banner({ connection, notice, error, state, model, access }, page) {
  if (connection === "error" && state.session_id) return trouble(error, page.signedIn);
  if (notice?.type === "draining") return words("draining");
  if (connection === "connecting") {
    if (error) return words(state.session_id ? "kept" : "trying", { why: problem(error) });
    if (state.session_id) return words("lost");
  }
  if (page.silence) return page.silence;
  if (access === "read") return words("read_only");
  if (!page.lasting) return words("nothing_stored");
  return isDemo(model || page.model) ? words("demo") : "";
}

/**
 * @param {string} used  the name of the session's model, where there is a session
 * @param {{name: string, label: string}} [offered]  the server's own
 */
export function modelLine(used, { name, label } = {}) {
  const model = used || name;
  if (!model) return "";
  return model === name && !isDemo(name) ? (label ?? name) : model;
}

const isDemo = (name = "") => /^demo\b/i.test(name);
