/** Times, sizes and amounts for people, in the reader's own language and zone. */

import { language, wordFor, words } from "./words.js";

const moment = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const hour = new Intl.DateTimeFormat(language, { timeStyle: "short" });
const price = new Intl.NumberFormat(language, { style: "currency", currency: "USD", minimumFractionDigits: 0, maximumSignificantDigits: 2 });

/** @param {number} ms  since the Unix epoch; the day is left out where it is today */
export const clock = (ms) => (new Date(ms).toDateString() === new Date().toDateString() ? hour : moment).format(ms);

/** @param {number} amount  of US dollars */
export const dollars = (amount) => price.format(amount);

/** @param {number} count  e.g. 1536 → "1.5 KB" */
export function bytes(count) {
  const units = ["", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  const size = (count / 1024 ** step).toLocaleString(language, { maximumFractionDigits: step ? 1 : 0 });
  return step ? `${size} ${units[step]}` : words("bytes", { size });
}

/** @param {number} seconds  e.g. 184 → "3 min 4 s", 0.26 → "0.3 s" */
export function lasting(seconds) {
  if (seconds > 0 && seconds < 0.95) return words("seconds", { count: Math.max(0.1, Math.round(10 * seconds) / 10) });
  const whole = Math.round(seconds);
  const units = [[Math.floor(whole / 3600), "hours"], [Math.floor(whole / 60) % 60, "minutes"], [whole % 60, "seconds"]];
  const shown = units.filter(([count]) => count > 0).slice(0, 2);
  return (shown.length ? shown : units.slice(2)).map(([count, unit]) => words(unit, { count })).join(" ");
}

/** @param {{status: string, text?: string} | null} summary  null: it is still being written */
export const summaryLine = (summary) =>
  summary?.status === "done" ? (summary.text ?? "") : wordFor(`summary_${summary?.status}`, words("summary_pending"));
