/** What is done later. No DOM. */

/**
 * A promise that is settled from outside. Nobody has to listen to its rejection.
 * @returns {{promise: Promise<any>, resolve: (value: any) => void, reject: (error: Error) => void}}
 */
export function deferred() {
  let settle;
  const promise = new Promise((resolve, reject) => (settle = { resolve, reject }));
  promise.catch(() => {});
  return { promise, ...settle };
}

/** @param {() => void} work  to be done next, as a task of its own */
export function soon(work) {
  if (globalThis.scheduler?.postTask) scheduler.postTask(work, { priority: "user-blocking" });
  else setTimeout(work);
}
