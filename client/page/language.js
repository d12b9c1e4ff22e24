/**
 * The language that is wanted; "" leaves it to the browser. An address may name one (`?lang=de`).
 * Whoever sets another does so before anything with words in it is loaded.
 */
export const wanted = { language: new URLSearchParams(globalThis.location?.search).get("lang") ?? "" };
