/** The language that is wanted. It is set before anything with words in it is loaded; "" leaves it to the browser. */

export const wanted = { language: "" };
