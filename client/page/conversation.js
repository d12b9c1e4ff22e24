/** A conversation: its messages, those that wait, and what a screen reader hears of it. */

import { queued } from "../reducer.js";
import { Announcer } from "./announcer.js";
import { QueueView } from "./queue-view.js";
import { Transcript } from "./transcript.js";

export class Conversation {
  #client;
  #transcript;
  #queue;
  #announcer;

  /**
   * @param {(id: string) => HTMLElement} $
   * @param {import("../session.js").SessionClient} client
   * @param {import("./transcript.js").Actions} actions
   * @param {ConstructorParameters<typeof QueueView>[1]} waiting
   */
  constructor($, client, actions, waiting) {
    this.#client = client;
    this.#transcript = new Transcript($("transcript"), actions, (file_id) => client.fileUrl(file_id));
    this.#announcer = new Announcer($("announcer"));
    this.#queue = new QueueView($("queue"), waiting);
  }

  drawTranscript() {
    this.#transcript.update(this.#client.state, this.#client);
  }

  drawRest() {
    const { state } = this.#client;
    this.#queue.update(queued(state));
    this.#announcer.update(state);
  }
}
