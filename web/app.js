/**
 * The sample page: reads its configuration, takes the issuer's answer from the address, and starts each section.
 *
 * Rule: the sections know the page, not each other. What they share is the session (who calls) and the calls (what was
 * called); both tell of changes by events.
 */

import { Calls } from "./calls.js";
import { byId } from "./dom.js";
import { showErrors } from "./errors.js";
import { pageVersion } from "./http-version.js";
import { showIdentity } from "./identity.js";
import { LoginError, finish } from "./login.js";
import { showMany } from "./many.js";
import { EXPIRED, showRefusals } from "./refusals.js";
import { Session } from "./session.js";
import { showStream } from "./stream.js";
import { showUnary } from "./unary.js";
import { showWire } from "./wire.js";

/**
 * What /demo.json says: where to log in and as what, what to call, and all gateways that serve it: `url` is an origin.
 * @typedef {{name: string, url: string}} Gateway
 * @typedef {{issuer: string | null, client_id: string, scope: string, service: string, gateways: Gateway[]}} Config
 * @typedef {{config: Config, session: Session, calls: Calls, trouble: (message: string) => void}} Page
 */

/** @returns {Promise<Config>} without /demo.json: no login, the demo service */
async function configuration() {
  const response = await fetch("demo.json").catch(() => null);
  const given = response?.ok ? await response.json() : {};
  return { issuer: null, client_id: "web", scope: "", service: "demo.v1.Demo", gateways: [], ...given };
}

/** Shows what keeps the page from working; an empty message takes it away. */
function trouble(message) {
  byId("trouble").textContent = message;
  byId("trouble").hidden = !message;
}

const config = await configuration();
const session = new Session();
const calls = new Calls(session, config.service);
const page = { config, session, calls, trouble };

if (pageVersion) byId("page-version").textContent = pageVersion;
showIdentity(page);
showUnary(page);
showStream(page);
showMany(page);
showErrors(page);
const { showExpired } = showRefusals(page);
showWire(page);

if (config.issuer) {
  try {
    const login = await finish(config);
    if (login?.purpose === EXPIRED) await showExpired(login.token);
    else if (login) session.token = login.token;
  } catch (error) {
    if (!(error instanceof LoginError)) throw error;
    trouble(error.message);
  }
}
document.documentElement.dataset.ready = "";
