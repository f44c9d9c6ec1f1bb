/**
 * Login at an OAuth2 issuer: authorization code with PKCE, for a client that can keep no secret.
 *
 * Rule: an answer is used once, and only by the tab that asked for it. What has to survive the way to the issuer and
 * back (`state`, the PKCE verifier) is kept in sessionStorage, which is this tab's own; it is removed before anything
 * is done with the answer, and is worth nothing without the code. The token itself is never stored: see session.js.
 *
 * Sources: RFC 6749, RFC 7636 (PKCE), RFC 8414 (metadata), RFC 9207 (`iss`), RFC 9700 (best practice).
 */

const PENDING = "login";

/** A login that came to nothing; the message is for the person. */
export class LoginError extends Error {
  name = "LoginError";
}

/**
 * @typedef {{issuer: string, client_id: string, scope: string}} Client
 * @typedef {{expiresIn?: number, purpose?: string}} Wish `expiresIn`: seconds, which only a development issuer grants;
 *   `purpose` comes back with the token
 */

/**
 * Leaves the page for the issuer, which sends the browser back to it.
 * @param {Client} client
 * @param {Wish} [wish]
 * @throws {LoginError}
 */
export async function begin(client, wish = {}) {
  if (!isSecureContext) throw new LoginError("Login needs HTTPS, or the address 127.0.0.1.");
  const { authorization_endpoint: endpoint } = await discover(client.issuer);
  const verifier = random();
  const state = random();
  sessionStorage.setItem(PENDING, JSON.stringify({ verifier, state, wish }));
  const url = new URL(endpoint);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  const parameters = {
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: redirectUri(),
    scope: client.scope,
    state,
    code_challenge: base64url(new Uint8Array(digest)),
    code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
  location.assign(url);
}

/**
 * Takes the issuer's answer from the address of the page, if there is one, and turns it into a token.
 * @param {Client} client
 * @returns {Promise<{token: string, purpose?: string} | null>} null: the page was opened without an answer
 * @throws {LoginError}
 */
export async function finish(client) {
  const answer = new URLSearchParams(location.search);
  if (!answer.has("state") || !(answer.has("code") || answer.has("error"))) return null;
  history.replaceState(null, "", location.pathname); // a code has no business in the history
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  sessionStorage.removeItem(PENDING);
  if (pending === null || answer.get("state") !== pending.state) {
    throw new LoginError("The issuer answered a question that this tab did not ask. Log in again.");
  }
  const metadata = await discover(client.issuer);
  const mustNameItself = metadata.authorization_response_iss_parameter_supported === true;
  if ((mustNameItself || answer.has("iss")) && answer.get("iss") !== client.issuer) {
    throw new LoginError("The answer came from another issuer. Log in again.");
  }
  if (answer.has("error")) {
    throw new LoginError(`The issuer refused: ${answer.get("error_description") ?? answer.get("error")}.`);
  }
  const token = await redeem(client, metadata.token_endpoint, answer.get("code"), pending);
  return { token, purpose: pending.wish.purpose };
}

async function redeem(client, endpoint, code, { verifier, wish }) {
  const form = new URLSearchParams({
    grant_type: "authorization_code",
    client_id: client.client_id,
    redirect_uri: redirectUri(),
    code,
    code_verifier: verifier,
  });
  if (wish.expiresIn !== undefined) form.set("expires_in", String(wish.expiresIn));
  const reply = await json(endpoint, { method: "POST", body: form });
  if (typeof reply.access_token === "string") return reply.access_token;
  throw new LoginError(`The issuer gave no token: ${reply.error_description ?? reply.error ?? "no reason given"}.`);
}

/** The issuer's endpoints, from its metadata. An issuer that calls itself by another name is not the one asked for. */
async function discover(issuer) {
  const metadata = await json(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (metadata.issuer !== issuer) throw new LoginError(`The issuer ${issuer} calls itself ${metadata.issuer}.`);
  return metadata;
}

async function json(url, request = {}) {
  try {
    return await (await fetch(url, { ...request, cache: "no-store", credentials: "omit" })).json();
  } catch (cause) {
    throw new LoginError(`The issuer does not answer at ${new URL(url).origin}.`, { cause });
  }
}

/** This page without query and file name: what the issuer knows it by. */
function redirectUri() {
  return new URL(".", location.href.split(/[?#]/)[0]).href;
}

function random() {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes) {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");
}
