/** The form for email and password. */

import { problem, words } from "./words.js";

/**
 * @param {HTMLFormElement} form
 * @param {import("../sign-in.js").SignIn} user
 * @returns {Promise<void>}  once somebody is signed in
 */
export function askToSignIn(form, user) {
  const { email, password } = form.elements;
  const said = form.querySelector("[role=alert]");
  const say = (text) => {
    said.textContent = text;
    said.hidden = !text;
  };
  return new Promise((resolve) => {
    async function attempt(way) {
      say("");
      try {
        const entered = await user[way](email.value, password.value);
        if (entered !== false) return resolve();
        say(words("confirm_email", { email: email.value }));
      } catch (error) {
        say(problem(error));
      }
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt("enter");
    });
    form.elements["sign-up"].addEventListener("click", () => form.reportValidity() && attempt("join"));
  });
}
