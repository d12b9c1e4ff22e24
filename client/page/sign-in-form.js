/** The forms to sign in: by password, by a link in an email, by a provider; and to choose another password. */

import { h, text } from "./element.js";
import { problem, words } from "./words.js";

const NAMES = { azure: "Microsoft", github: "GitHub", gitlab: "GitLab", linkedin: "LinkedIn", workos: "WorkOS" };
const EVERY_WAY = { email: true, sign_up: true, providers: [] }; // of a project that does not say

/**
 * A form that does one thing at a time, and says how that went.
 * @param {HTMLFormElement} form
 * @param {string} title
 * @param {string} [why]  it is shown again
 */
function dressed(form, title, why = "") {
  const said = h("p", { id: "sign-in-said", class: "trouble", role: "alert" });
  const told = h("p", { id: "sign-in-told", role: "status" });
  text(said, why);
  text(told, "");

  /** @param {() => Promise<string | void>} work  gives what to say of it */
  async function attempt(work) {
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    text(said, "");
    text(told, "");
    try {
      text(told, (await work()) ?? "");
    } catch (error) {
      text(said, problem(error) || error.code);
    } finally {
      form.ariaBusy = "false";
    }
  }

  const show = (...children) => form.replaceChildren(h("h2", {}, title), ...children, said, told);
  return { attempt, show };
}

const field = (id, properties) =>
  h("label", {}, h("span", {}, words(id)), " ", h("input", { id, "data-testid": id, required: true, "aria-describedby": "sign-in-said", ...properties }));

/**
 * @param {HTMLFormElement} form
 * @param {import("../sign-in.js").SignIn} user
 * @param {object} parts
 * @param {string} parts.back  where links and providers lead back to
 * @param {boolean} parts.leaves  whether one may go to a provider from here
 * @param {string} [parts.why]  what went wrong before
 * @returns {Promise<void>}  once somebody is signed in
 */
export async function askToSignIn(form, user, { back, leaves, why }) {
  const { email: byEmail, sign_up, providers } = await user.ways().catch(() => EVERY_WAY);
  return new Promise((resolve) => {
    const { attempt, show } = dressed(form, words("sign_in"), why);
    const emailField = field("email", { type: "email", autocomplete: "username" });
    const passwordField = field("password", { type: "password", autocomplete: "current-password" });
    const [email, password] = [emailField, passwordField].map((one) => one.lastChild);

    const enter = async () => {
      await user.enter(email.value, password.value);
      resolve();
    };
    const join = async () => {
      if (await user.join(email.value, password.value, back)) resolve();
      else return words("confirm_email", { email: email.value });
    };
    const mail = async () => {
      await user.mail(email.value, back, sign_up);
      return words("link_sent", { email: email.value });
    };
    const recover = async () => {
      await user.recover(email.value, back);
      return words("reset_sent", { email: email.value });
    };
    const button = (key, valid, work) =>
      h("button", { type: "button", class: "quiet", "data-testid": key.replace("_", "-"), onclick: () => valid() && attempt(work) }, words(key));
    const whole = () => form.reportValidity();
    const named = () => email.reportValidity();

    const ways = providers.map((name) => {
      const [first] = name.split("_"); // `linkedin_oidc`
      const title = NAMES[first] ?? first.charAt(0).toUpperCase() + first.slice(1);
      return h("button", { type: "button", "data-testid": `with-${name}`, onclick: () => location.assign(user.provider(name, back)) }, words("sign_in_with", { name: title }));
    });
    show(
      ...(leaves && ways.length ? [h("div", { class: "providers" }, ...ways)] : []),
      ...(byEmail ? [
        emailField, passwordField,
        h("div", { class: "actions" },
          h("button", { type: "submit", class: "primary", "data-testid": "sign-in" }, words("sign_in")),
          ...(sign_up ? [button("sign_up", whole, join)] : [])),
        h("div", { class: "actions" }, button("mail_link", named, mail), button("forgotten", named, recover)),
      ] : []));
    form.onsubmit = (event) => {
      event.preventDefault();
      attempt(enter);
    };
    addEventListener("storage", () => user.user && resolve()); // by a link, in another tab
    email.focus();
  });
}

/** @returns {Promise<void>} once there is another password, or none is wanted */
export function askForPassword(form, user) {
  return new Promise((resolve) => {
    const { attempt, show } = dressed(form, words("new_password_title"));
    const password = field("new_password", { type: "password", autocomplete: "new-password" });
    show(password, h("div", { class: "actions" },
      h("button", { type: "submit", class: "primary", "data-testid": "save-password" }, words("save")),
      h("button", { type: "button", class: "quiet", onclick: () => resolve() }, words("not_now"))));
    form.onsubmit = (event) => {
      event.preventDefault();
      attempt(async () => {
        await user.change(password.lastChild.value);
        resolve();
      });
    };
    password.lastChild.focus();
  });
}
