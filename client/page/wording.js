/** What the page says of the connection, the session and the model. */

export const CONNECTION = {
  offline: "Not connected",
  connecting: "Connecting…",
  live: "Live",
  error: "Not connected",
};

/**
 * Why there is no session.
 * @param {{code: string, message: string}} error
 * @param {boolean} signedIn
 */
export function trouble(error, signedIn) {
  if (error.code === "not_found") return "That session is not here any more, or it is not yours. Start a new one.";
  if (error.code === "unauthorized" && !signedIn) return "This server requires a sign-in that this page does not support.";
  return error.message;
}

/**
 * What the reader has to know now, the most urgent first.
 * @param {import("../session.js").SessionClient} client
 * @param {{silence: string, lasting: boolean, signedIn: boolean, model?: string}} page
 *   `silence`: why the server does not say what it is; `lasting`: whether the browser stores things
 */
export function banner({ connection, notice, error, state, model, access }, page) {
  if (connection === "error" && state.session_id) return trouble(error, page.signedIn);
  if (notice?.type === "draining") return "The server is restarting. You will be reconnected, and nothing is lost.";
  if (notice?.type === "storage_away") return "Saving is paused at the moment. Answers go on when it works again, and nothing is lost.";
  if (connection === "connecting") {
    const hope = state.session_id ? "Messages are kept and sent when it is back." : "Trying again.";
    if (error) return `${error.message} ${hope}`;
    if (state.session_id) return `The connection is lost. ${hope}`;
  }
  if (page.silence) return page.silence;
  if (access === "read") return "You can only read along. Only whoever started this session, or was given a link to take part, can write.";
  if (!page.lasting) return "This browser stores nothing for this page: after a reload it starts over, without your sessions.";
  if (isDemo(model || page.model)) return "Demonstration model: its answers are scripted, there is no language model behind them.";
  return "";
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
