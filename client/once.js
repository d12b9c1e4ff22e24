/**
 * Do something in one tab of this browser at a time. With Web Locks the browser sees to that. Pages
 * over plain HTTP have none: there the tabs leave each other notes in their shared storage, which
 * is as good as long as no tab is slower than a note is fresh.
 */

const FRESH_MS = 15_000;
const RENEW_MS = 4_000;
const SETTLE_MS = 100; // in which a note of another tab would be seen

/**
 * @param {string} name
 * @param {() => Promise<void>} work  asks first whether there is still something to do
 * @param {{storage: import("./storage.js").Keep, locks?: LockManager}} parts
 */
export async function inOneTab(name, work, { storage, locks = globalThis.navigator?.locks }) {
  if (locks) return locks.request(name, work);
  const me = Math.random().toString(36).slice(2);
  const note = () => storage.setItem(name, JSON.stringify({ me, at: Date.now() }));
  const another = () => {
    const held = storage.read(name);
    return held && held.me !== me && Date.now() - held.at < FRESH_MS;
  };
  for (;;) {
    while (another()) await pause(1000);
    note();
    await pause(SETTLE_MS * (1 + Math.random()));
    if (!another()) break;
  }
  const renewing = setInterval(note, RENEW_MS);
  try {
    return await work();
  } finally {
    clearInterval(renewing);
    storage.removeItem(name);
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
