/** The named fields of an event, those that it has. @param {object} event @param {string[]} names */
export const pick = (event, names) =>
  Object.fromEntries(names.filter((name) => event[name] !== undefined).map((name) => [name, event[name]]));
