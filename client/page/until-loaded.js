/** Modules that a first visit does without. */

const PAUSE_MS = 1000;

/**
 * A module, as soon as the server gives it.
 * @template Module
 * @param {() => Promise<Module>} get  an `import()` of its name, which bundlers read
 * @returns {Promise<Module>}
 */
export async function untilLoaded(get) {
  for (;;) {
    try {
      return await get();
    } catch {
      await new Promise((next) => setTimeout(next, PAUSE_MS));
    }
  }
}
