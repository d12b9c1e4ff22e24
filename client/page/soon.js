/** @param {() => void} work  to be done next, as a task of its own */
export function soon(work) {
  if (globalThis.scheduler?.postTask) scheduler.postTask(work, { priority: "user-blocking" });
  else setTimeout(work);
}
