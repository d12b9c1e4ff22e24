/**
 * What the page says, in the reader's language: each that is here has a file in `words/`. An entry is
 * a text with `{names}` for values, or one text for each of the language's plural forms, by `{count}`.
 */

import { wanted } from "./language.js";

const LANGUAGES = ["en", "de"];
const RIGHT_TO_LEFT = ["ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"];
const base = (tag) => tag.split("-")[0].toLowerCase();

/** Some systems have `en-US@posix`, with which no date is written. */
function wellFormed(tag) {
  try {
    return Boolean(Intl.getCanonicalLocales(tag));
  } catch {
    return false;
  }
}

/** The first of the reader's languages that is here, with its region: dates and numbers follow it. */
export const language =
  [wanted.language, ...(globalThis.navigator?.languages ?? [])].find((tag) => LANGUAGES.includes(base(tag)) && wellFormed(tag)) ?? "en";

/** Which way it is written. */
export const direction = RIGHT_TO_LEFT.includes(base(language)) ? "rtl" : "ltr";

const { default: entries } = await import(`./words/${base(language)}.js`);
const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(language);

/**
 * A text around values that may be elements.
 * @param {string} key @param {Record<string, string | number | Node>} [values]  numbers are written as numbers
 * @returns {(string | Node)[]}
 */
export function phrase(key, values = {}) {
  const entry = entries[key];
  const text = typeof entry === "string" ? entry : (entry[plurals.select(values.count)] ?? entry.other);
  return text.split(/\{(\w+)\}/).map((part, index) => {
    const value = index % 2 ? (values[part] ?? "") : part;
    return typeof value === "number" ? numbers.format(value) : value;
  });
}

/** A text. @param {string} key @param {Record<string, string | number>} [values] */
export const words = (key, values) => phrase(key, values).join("");

/** The word for one of many, or what there is instead. @param {string} key @param {string} otherwise */
export const wordFor = (key, otherwise, values) => (entries[key] ? words(key, values) : otherwise);

/** What went wrong, by its code; where that says too little, in the server's own words. */
export const problem = ({ code, why = code, message, ...details }) => wordFor(`error_${why}`, message, details);
