/**
 * A `Storage` that always works. What the browser does not take (it may block the page's
 * data, or be full) is kept in memory, until the page is closed.
 */
export class Keep {
  #memory = new Map();
  #open;
  /** Whether the browser has kept everything so far. */
  lasting = true;

  /** @param {() => Stored} open  may throw: reading `localStorage` does, where it is blocked */
  constructor(open) {
    this.#open = open;
    this.getItem("");
  }

  getItem(key) {
    return this.#memory.get(key) ?? this.#try((storage) => storage.getItem(key)) ?? null;
  }

  setItem(key, value) {
    this.#memory.set(key, value);
    this.#try((storage) => {
      storage.setItem(key, value);
      this.#memory.delete(key);
    });
  }

  removeItem(key) {
    this.#memory.delete(key);
    this.#try((storage) => storage.removeItem(key));
  }

  clear() {
    this.#memory.clear();
    this.#try((storage) => storage.clear());
  }

  /** What was kept as JSON; null where there is nothing, or something that others put there. */
  read(key) {
    try {
      return JSON.parse(this.getItem(key));
    } catch {
      return null;
    }
  }

  #try(use) {
    try {
      return use(this.#open());
    } catch {
      this.lasting = false;
    }
  }
}

/** @typedef {Pick<Storage, "getItem" | "setItem">} Stored  as much as is used of a `Storage` */

/** @param {Stored | (() => Stored)} [storage]  without one, memory @returns {Keep} */
export function kept(storage) {
  if (storage instanceof Keep) return storage;
  return new Keep(typeof storage === "function" ? storage : () => storage);
}
