/**
 * Brings each payload through the page's own reducer and view in every place that takes text
 * from elsewhere; the answer grows by one character at a time. Each character's state is seen.
 */
async (payloads) => {
  const { apply, initial } = await import("./client/reducer.js");
  const { PeopleLine } = await import("./client/page/people.js");
  const { Transcript } = await import("./client/page/transcript.js");
  const { drawing } = await import("./client/page/markdown-view.js");
  await drawing();
  const frame = () => new Promise(requestAnimationFrame);
  const ignore = () => {};
  const actions = { continue: ignore, approve: ignore, save: ignore, retry: ignore, drop: ignore, rate: ignore, regenerate: ignore, select: ignore };
  watch.on = true;
  let seen = 0;

  for (const payload of payloads) {
    watch.payload = payload;
    const root = document.createElement("div");
    root.className = "transcript";
    document.getElementById("scroll").append(root);
    const transcript = new Transcript(root, actions, async () => "about:blank");
    const files = [{ id: payload, name: payload, type: payload, size: 1 }];
    const people = ["s", payload].map((user_id) => ({ user_id, name: payload }));
    const more = { pending: [], progress: new Map(), people };
    new PeopleLine(root.appendChild(document.createElement("p"))).draw(people, "s", payload);
    let state = initial();
    const show = () => transcript.update(state, more);
    const take = (event, fields) => {
      const ids = { session_id: "s", seq: state.last_seq + 1, run_id: "r", message_id: "a" };
      state = apply(state, { event, ...ids, ...fields }).state;
      show();
    };

    take("user_message", { message_id: "q", client_msg_id: "c", text: payload, user_id: payload, name: payload, files });
    for (const status of ["waiting", "started", "awaiting_approval", "fallback"]) {
      take("run", { status, model: payload, from_model: payload, reason: payload });
    }
    let offset = 0;
    for (const delta of payload) {
      for (const kind of ["reasoning", "text"]) take("token", { kind, offset, delta });
      offset += delta.length;
      await null; // the watcher looks at every state
      seen += 1;
    }
    const call = { tool_call_id: "t", name: payload, arguments: payload, output_ref: payload };
    take("tool_call", { ...call, status: "awaiting_approval", approval: { expires_at: Date.now() + 9e9, editable: true } });
    while (!root.querySelector(".approval")) await frame(); // its module comes with the first question
    more.progress.set("t", { tool_call_id: "t", fraction: 0.5, message: payload });
    take("tool_call", { ...call, status: "running" });
    const decided = { expires_at: 1, decision: payload, decided_by: payload, reason: payload };
    take("tool_call", { ...call, status: "completed", arguments: { [payload]: [payload] }, output: payload, approval: decided, files });
    take("tool_call", { ...call, tool_call_id: "u", status: payload, output: { [payload]: payload } });
    take("tool_call", { ...call, tool_call_id: "v", status: "failed", error: { code: payload, message: payload } });
    take("sources", { sources: [{ url: payload, title: payload }, { url: "https://a.example", title: payload }, { file_id: payload }] });
    take("done", { status: "failed", model: payload, error: { code: payload, message: payload }, text: payload });
    more.pending = [{ client_msg_id: "d", text: payload, options: { files }, status: "failed", error: { code: payload, message: payload } }];
    show();
    await null;
    if (!root.textContent) throw new Error("nothing was shown");
    for (let frames = 0; frames < 2; frames++) await frame(); // it is laid out and painted
    root.remove(); // a page that holds all of them takes minutes to paint
  }
  return seen;
}
