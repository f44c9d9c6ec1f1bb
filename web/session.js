/**
 * Who is logged in on this page.
 *
 * The token lives here, in memory, and nowhere else. In localStorage or sessionStorage any script that ever gets to run
 * on this origin, now or later, could read it, and it would lie on the disk; here it ends with the page. The price is
 * to log in again after a reload, which is a redirect.
 */

/** Tells of changes by the event "change". */
export class Session extends EventTarget {
  #token = null;
  #expiry = undefined;

  get token() {
    return this.#token;
  }

  /** The parts of the token that anyone can read, or null. @returns {{header: object, claims: object} | null} */
  get contents() {
    return this.#token === null ? null : readToken(this.#token);
  }

  /** Seconds until the token expires by this machine's clock; below zero when it has; null without an expiry. */
  get secondsLeft() {
    const expiresAt = this.contents?.claims.exp;
    return typeof expiresAt === "number" ? expiresAt - Date.now() / 1000 : null;
  }

  /** @param {string | null} token null: log out */
  set token(token) {
    this.#token = token;
    clearTimeout(this.#expiry);
    const left = this.secondsLeft;
    if (left > 0) this.#expiry = setTimeout(() => this.#changed(), Math.min(left * 1000 + 20, 2 ** 31 - 1));
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** Whether a token has expired by this machine's clock; the gateway's decides. @param {string | null} token */
export function hasExpired(token) {
  const expiresAt = token === null ? null : readToken(token).claims.exp;
  return typeof expiresAt === "number" && expiresAt * 1000 <= Date.now();
}

/**
 * What a JWT says, without a check of who says so.
 * @param {string} token
 * @returns {{header: object, claims: object}} empty objects for an opaque token
 */
export function readToken(token) {
  try {
    const [header, claims] = token.split(".", 2).map((part) => {
      const base64 = part.replaceAll("-", "+").replaceAll("_", "/");
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      return JSON.parse(new TextDecoder().decode(bytes));
    });
    return { header: header ?? {}, claims: claims ?? {} };
  } catch {
    return { header: {}, claims: {} };
  }
}
