/** Times for people, in the reader's own language and zone. */

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** @param {number} ms  since the Unix epoch */
export const when = (ms) => moment.format(new Date(ms));

const hour = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

/** @param {number} ms  since the Unix epoch; the day is left out where it is today */
export const clock = (ms) =>
  new Date(ms).toDateString() === new Date().toDateString() ? hour.format(ms) : when(ms);

/** @param {number} count  e.g. 1536 → "1.5 KB" */
export function bytes(count) {
  const units = ["bytes", "KB", "MB", "GB"];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(count, 1)) / 10));
  return `${(count / 1024 ** step).toLocaleString(undefined, { maximumFractionDigits: step ? 1 : 0 })} ${units[step]}`;
}

/** @param {number} seconds  e.g. 184 → "3 min 4 s" */
export function lasting(seconds) {
  const whole = Math.round(seconds);
  const units = [[Math.floor(whole / 3600), "h"], [Math.floor(whole / 60) % 60, "min"], [whole % 60, "s"]];
  const shown = units.filter(([count]) => count > 0).slice(0, 2);
  return shown.map(([count, unit]) => `${count} ${unit}`).join(" ") || "0 s";
}

/** @param {{status: string, text?: string} | null} summary  null: it is still being written */
export function summaryLine(summary) {
  if (summary?.status === "done") return summary.text ?? "";
  if (summary?.status === "failed") return "No summary could be made. It will be retried later.";
  if (summary?.status === "skipped") return "Nothing was said, so there is no summary.";
  return "The summary is being written…";
}
