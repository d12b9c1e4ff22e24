/** A conversation: its messages, those that wait, and what a screen reader hears of it. */

import { queued } from "../reducer.js";
import { Announcer } from "./announcer.js";
import { unsaved } from "./element.js";
import { Transcript } from "./transcript.js";
import { untilLoaded } from "./until-loaded.js";

export class Conversation {
  #client;
  #root;
  #list;
  #waiting;
  #transcript;
  #queue = null; // comes with the first message that waits
  #queueing; // while its module is loaded
  #editor; // the module; it comes before the server may be away
  #announcer;
  #session; // that is drawn

  /**
   * @param {(id: string) => HTMLElement} $
   * @param {import("../session.js").SessionClient} client
   * @param {import("./transcript.js").Actions} actions
   * @param {ConstructorParameters<typeof import("./queue-view.js").QueueView>[1]} waiting
   */
  constructor($, client, actions, waiting) {
    this.#client = client;
    this.#root = $("transcript");
    this.#list = $("queue");
    this.#waiting = waiting;
    this.#transcript = new Transcript(this.#root, actions, (file_id) => client.fileUrl(file_id), this.#rescue);
    this.#announcer = new Announcer($("announcer"));
  }

  drawTranscript() {
    const focused = this.#root.querySelector(":focus");
    const place = focused ? [...this.#root.children].findIndex((run) => run.contains(focused)) : -1;
    this.#transcript.update(this.#client.state, this.#client);
    const now = this.#root.querySelector(":focus"); // a card sees to its own buttons
    if (focused && !(now && serves(now))) this.#refocus(focused, this.#root.children[place]);
  }

  /** A button has gone that had the focus: the next of the steps between versions has it, or the box. */
  #refocus(focused, run) {
    const steps = step(focused) && run ? [...run.querySelectorAll("button")].filter((one) => step(one) && serves(one)) : [];
    const same = steps.find(({ ariaLabel }) => ariaLabel === focused.ariaLabel);
    const next = same ?? steps[0];
    next ? next.focus() : this.#waiting.left();
  }

  /** What was being edited in a view that goes is put into the box, unless its session goes too. */
  #rescue = ({ element }) => {
    const text = unsaved(element);
    if (text && this.#client.state.session_id === this.#session) this.#waiting.rescue(text);
  };

  drawRest() {
    const { state } = this.#client;
    const waiting = queued(state);
    if (this.#queue) this.#queue.update(waiting);
    else if (waiting.length) this.#queueing ??= this.#queueUp();
    this.#announcer.update(state);
    this.#session = state.session_id;
    if (state.session_id) this.#editor ??= untilLoaded(() => import("./edit-form.js"));
  }

  async #queueUp() {
    const { QueueView } = await untilLoaded(() => import("./queue-view.js"));
    this.#queue = new QueueView(this.#list, this.#waiting, this.#rescue);
    this.#queue.update(queued(this.#client.state));
  }
}

const step = (button) => Boolean(button.closest(".branch-bar")); // from version to version

const serves = (element) => element.isConnected && !element.disabled && element.checkVisibility();
