/** A conversation: its messages, those that wait, and what a screen reader hears of it. */

import { queued } from "../reducer.js";
import { Announcer } from "./announcer.js";
import { Transcript } from "./transcript.js";

export class Conversation {
  #client;
  #root;
  #list;
  #waiting;
  #transcript;
  #queue = null; // comes with the first message that waits
  #announcer;

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
    this.#transcript = new Transcript(this.#root, actions, (file_id) => client.fileUrl(file_id));
    this.#announcer = new Announcer($("announcer"));
  }

  drawTranscript() {
    const focused = this.#root.querySelector(":focus");
    const place = focused ? [...this.#root.children].findIndex((run) => run.contains(focused)) : -1;
    this.#transcript.update(this.#client.state, this.#client);
    const own = focused?.closest(".tool-card"); // which sees to its buttons itself
    if (focused && !own && !serves(focused)) this.#refocus(focused, this.#root.children[place]);
  }

  /** A button has gone that had the focus: the same one of what took its place has it, or the box. */
  #refocus(focused, run) {
    const buttons = [...(run?.querySelectorAll("button") ?? [])].filter(serves);
    const same = ({ ariaLabel }) => ariaLabel && ariaLabel === focused.ariaLabel;
    const another = buttons.find(same) ?? (step(focused) ? buttons.find(step) : null);
    another ? another.focus() : this.#waiting.left();
  }

  drawRest() {
    const { state } = this.#client;
    const waiting = queued(state);
    if (this.#queue) this.#queue.update(waiting, state.session_id);
    else if (waiting.length) this.#queueUp();
    this.#announcer.update(state);
  }

  async #queueUp() {
    const { QueueView } = await import("./queue-view.js");
    this.#queue ??= new QueueView(this.#list, this.#waiting);
    this.#queue.update(queued(this.#client.state), this.#client.state.session_id);
  }
}

const step = (button) => Boolean(button.closest(".branch-bar")); // from version to version

const serves = (element) => element.isConnected && !element.disabled && element.checkVisibility();
