/**
 * A `Storage` that always works. What the browser does not store (it may block the page's data, or
 * be full) is kept in memory until the page is closed.
 */
export class Keep {
  #memory = new Map();
  #open;
  #prefix;
  #blocked = false;

  /**
   * @param {() => Stored} open  may throw: reading `localStorage` does, where it is blocked
   * @param {string} [prefix]  of its keys in there, apart from those of another `Keep`
   */
  constructor(open, prefix = "") {
    this.#open = open;
    this.#prefix = prefix;
    this.getItem("");
  }

  /** Whether a reload would find everything that is here. */
  get lasting() {
    return !this.#blocked && !this.#memory.size;
  }

  getItem(key) {
    return this.#memory.get(key) ?? this.#try((storage) => storage.getItem(this.#prefix + key)) ?? null;
  }

  setItem(key, value) {
    this.#memory.set(key, value);
    this.#try((storage) => {
      storage.setItem(this.#prefix + key, value);
      this.#memory.delete(key);
    });
  }

  removeItem(key) {
    this.#memory.delete(key);
    this.#try((storage) => storage.removeItem(this.#prefix + key));
  }

  /** Forget what is ours; a site may keep its own beside it. */
  clear() {
    this.#memory.clear();
    this.#try((storage) => {
      for (const key of Object.keys(storage)) if (key.startsWith(`${this.#prefix}realtime.`)) storage.removeItem(key);
    });
  }

  /** What was kept as JSON; null where there is nothing, or something that is no JSON. */
  read(key) {
    try {
      return JSON.parse(this.getItem(key));
    } catch {
      return null;
    }
  }

  #try(use) {
    let storage;
    try {
      storage = this.#open();
      storage.getItem(""); // some browsers throw only here
      this.#blocked = false;
    } catch {
      this.#blocked = true;
      return;
    }
    try {
      return use(storage);
    } catch {} // it is full
  }
}

/**
 * @typedef {Pick<Storage, "getItem" | "setItem">} Stored  as much as is used of a `Storage`
 * @typedef {Stored | (() => Stored)} Source
 */

/** @param {Stored | (() => Stored)} [storage]  without one, memory @returns {Keep} */
export function kept(storage) {
  if (storage instanceof Keep) return storage;
  return new Keep(typeof storage === "function" ? storage : () => storage);
}
