/** The form for email and password. */

import { h, text } from "./element.js";
import { problem, words } from "./words.js";

/**
 * @param {HTMLFormElement} form
 * @param {import("../sign-in.js").SignIn} user
 * @returns {Promise<void>}  once somebody is signed in
 */
export function askToSignIn(form, user) {
  return new Promise((resolve) => {
    const field = (id, properties) => h("input", { id, "data-testid": id, required: true, ...properties });
    const email = field("email", { type: "email", autocomplete: "username" });
    const password = field("password", { type: "password", autocomplete: "current-password" });
    const said = h("p", { id: "sign-in-said", class: "trouble", role: "alert" });

    async function attempt(way) {
      text(said, "");
      try {
        const entered = await user[way](email.value, password.value);
        if (entered !== false) return resolve();
        text(said, words("confirm_email", { email: email.value }));
      } catch (error) {
        text(said, problem(error));
      }
    }

    form.replaceChildren(
      h("h2", {}, words("sign_in")),
      h("label", {}, h("span", {}, words("email")), " ", email),
      h("label", {}, h("span", {}, words("password")), " ", password),
      h("div", { class: "actions" },
        h("button", { type: "submit", class: "primary", "data-testid": "sign-in" }, words("sign_in")),
        h("button", { type: "button", "data-testid": "sign-up", onclick: () => form.reportValidity() && attempt("join") }, words("sign_up"))),
      said);
    text(said, "");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      attempt("enter");
    });
  });
}
