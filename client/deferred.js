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
