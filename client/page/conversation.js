/** All that shows a conversation: its messages, those that wait, and what a screen reader hears of it. */

import { queued } from "../reducer.js";
import { Announcer } from "./announcer.js";
import { $ } from "./element.js";
import { QueueView } from "./queue-view.js";
import { Transcript } from "./transcript.js";

/**
 * @param {import("../session.js").SessionClient} client
 * @param {import("./transcript.js").Actions} actions
 * @param {ConstructorParameters<typeof QueueView>[1]} waiting
 * @returns {{transcript: () => void, rest: () => void}}  draw the one, and the others
 */
export function conversation(client, actions, waiting) {
  const transcript = new Transcript($("transcript"), actions, (file_id) => client.fileUrl(file_id));
  const queue = new QueueView($("queue"), waiting);
  const announcer = new Announcer($("announcer"));
  return {
    transcript: () => transcript.update(client.state, client),
    rest: () => {
      queue.update(queued(client.state));
      announcer.update(client.state);
    },
  };
}
