/**
 * A command that failed: the server refused it, or the client gave it up. Codes of the client are
 * `offline`, `timeout`, `too_large`, `broken` and `dropped`. Where one of them has several causes, `why`
 * tells them apart, for a front end that says them in its own words.
 */
export class CommandError extends Error {
  /** @type {string} one of PROTOCOL.md's, or one of ours */
  code;
  /** @type {boolean} whether the same command may succeed later */
  retryable;
  /** @type {number | undefined} */
  retry_after_ms;

  /** @param {{code: string, message: string, retryable?: boolean, retry_after_ms?: number}} error */
  constructor({ message, retryable = false, ...details }) {
    super(message);
    Object.assign(this, { ...details, retryable });
  }

  toJSON() {
    return { ...this, message: this.message };
  }
}
