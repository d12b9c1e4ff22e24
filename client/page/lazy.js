/** Parts of the page that are loaded when they are first needed. */

/**
 * @template Part
 * @param {() => Promise<Part>} load
 * @returns {() => Promise<Part>} the one part; loaded anew where that failed
 */
export function lazy(load) {
  let part = null;
  return () => (part ??= load().catch((error) => {
    part = null;
    throw Object.assign(error, { code: "unreachable" });
  }));
}
