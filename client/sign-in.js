/**
 * A user of a Supabase project, by password, by a link in an email or by an OAuth provider: no DOM,
 * no library.
 *
 *     const user = new SignIn({ url, key, storage: () => localStorage });
 *     await user.enter(email, password);
 *     const client = new SessionClient({ io, token: () => user.token() });
 *
 * What is kept in `storage` are the project's own tokens; the password is not.
 */

import { kept } from "./storage.js";

const KEY = "realtime.user";
const NO_PROVIDERS = ["anonymous_users", "email", "phone"]; // that the settings list beside them
const EARLY_MS = 90_000; // the server warns a minute before a token expires

export class SignIn {
  #url;
  #key;
  #storage;
  #lost;

  /**
   * @param {object} parts
   * @param {string} parts.url  of the project
   * @param {string} parts.key  its publishable key
   * @param {Storage | (() => Storage)} parts.storage
   * @param {() => void} [parts.lost]  the project does not know the user any more
   */
  constructor({ url, key, storage, lost = () => {} }) {
    this.#url = url;
    this.#key = key;
    this.#storage = kept(storage);
    this.#lost = lost;
  }

  /** @returns {{id: string, email: string} | null} */
  get user() {
    return this.#kept?.user ?? null;
  }

  get #kept() {
    return this.#storage.read(KEY);
  }

  /** Sign in. @throws {Error} in words for the user */
  async enter(email, password) {
    this.#keep(await this.#post("token?grant_type=password", { email, password }));
  }

  /**
   * How people may sign in.
   * @returns {Promise<{email: boolean, sign_up: boolean, providers: string[]}>} `email`: by password
   *   or link; `sign_up`: whether new accounts are made; `providers`: as `provider` takes them
   */
  async ways() {
    const { external = {}, disable_signup = false } = await this.#ask("GET", "settings");
    const providers = Object.keys(external).filter((name) => external[name] === true && !NO_PROVIDERS.includes(name));
    return { email: external.email !== false, sign_up: !disable_signup, providers };
  }

  /**
   * Make an account.
   * @param {string} back  where the link to confirm the email leads, as the project allows it
   * @returns {Promise<boolean>} false: the email has to be confirmed first
   */
  async join(email, password, back) {
    const made = await this.#post(`signup${to(back)}`, { email, password });
    if (made.access_token) this.#keep(made);
    return Boolean(made.access_token);
  }

  /** Have a link sent that signs in. @param {boolean} create  an account, where there is none */
  async mail(email, back, create) {
    await this.#post(`otp${to(back)}`, { email, create_user: create });
  }

  /** Have a link sent that signs in to `change` the password. */
  async recover(email, back) {
    await this.#post(`recover${to(back)}`, { email });
  }

  /** Another password. @throws {Error} in words for the user */
  async change(password) {
    await this.#ask("PUT", "user", { password }, await this.token());
  }

  /** Where to go to sign in with a provider, e.g. "github". @returns {string} an address */
  provider(name, back) {
    return `${this.#url}/auth/v1/authorize${to(back)}&${new URLSearchParams({ provider: name })}`;
  }

  /**
   * Come back from a link or a provider. Whoever is signed in stays so: nobody is made somebody else
   * by a link.
   * @param {URLSearchParams} landing  the fragment that the project added to the address
   * @returns {Promise<string | null>} what the link was for, such as "recovery"
   * @throws {Error} in words for the user, where the link is good for nothing
   */
  async arrive(landing) {
    const [access_token, refresh_token, code] = ["access_token", "refresh_token", "error_code"].map((name) => landing.get(name));
    if (!access_token) throw failed(code, landing.get("error_description") ?? landing.get("error") ?? "");
    const user = await this.#ask("GET", "user", undefined, access_token);
    if (this.user && this.user.id !== user.id) return null;
    this.#keep({ access_token, refresh_token, expires_in: Number(landing.get("expires_in")), user });
    return landing.get("type");
  }

  /** Forget the user here, and let the project forget this sign-in. */
  async leave() {
    const kept = this.#kept;
    this.#storage.removeItem(KEY);
    if (kept) await this.#post("logout?scope=local", {}, kept.access_token).catch(() => {});
  }

  /** An access token that is good for a while. @throws {Error} where there is none */
  async token() {
    // tabs share the user, and a refresh token is good for one use
    const { locks } = globalThis.navigator ?? {};
    return locks ? locks.request(KEY, () => this.#fresh()) : this.#fresh();
  }

  async #fresh() {
    const kept = this.#kept;
    if (!kept) return this.#forget(new Error("Nobody is signed in."));
    const left = kept.expires - Date.now();
    if (left > EARLY_MS) return kept.access_token;
    try {
      const { refresh_token } = kept;
      this.#keep(await this.#post("token?grant_type=refresh_token", { refresh_token }));
    } catch (error) {
      const refused = error.status >= 400 && error.status < 500 && error.status !== 429;
      if (refused) return this.#forget(error);
      if (left <= 0) throw error;
    }
    return this.#kept.access_token; // the old one, where the project cannot be reached
  }

  #forget(why) {
    this.#storage.removeItem(KEY);
    this.#lost();
    throw why;
  }

  #keep({ access_token, refresh_token, expires_in, user }) {
    if (!access_token || !user) throw failed("sign_in_odd", "The sign-in service sent an unexpected answer. Try again in a moment.");
    const { id, email } = user;
    const expires = Date.now() + expires_in * 1000; // by our clock, whatever theirs says
    this.#storage.setItem(KEY, JSON.stringify({ access_token, refresh_token, expires, user: { id, email } }));
  }

  #post(path, body, token) {
    return this.#ask("POST", path, body, token);
  }

  async #ask(method, path, body, token) {
    const headers = { apikey: this.#key, "content-type": "application/json" };
    if (token) headers.authorization = `Bearer ${token}`;
    const request = { method, headers, body: JSON.stringify(body) };
    let response;
    try {
      response = await fetch(`${this.#url}/auth/v1/${path}`, request);
    } catch {
      throw failed("sign_in_unreachable", "The sign-in service cannot be reached. Try again in a moment.");
    }
    const answer = (await response.json().catch(() => null)) ?? {};
    if (response.ok) return answer;
    const said = answer.msg ?? answer.error_description ?? `The sign-in service answered ${response.status}.`;
    throw failed(answer.error_code, said, response.status);
  }
}

const to = (back) => `?${new URLSearchParams({ redirect_to: back })}`;

const failed = (code, message, status) => Object.assign(new Error(message), { code, status });
