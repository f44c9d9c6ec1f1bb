/** The section "Who you are": log in, log out, and what the token says. */

import { byId, facts, h } from "./dom.js";
import { LoginError, begin } from "./login.js";

const MEANING = {
  sub: "you are",
  roles: "with the",
  scope: "allowed the",
  exp: "expires",
  iss: "issued by",
  aud: "meant for",
  client_id: "given to the client",
  iat: "issued at",
  nbf: "not before",
  jti: "number of the token",
};
const ORDER = Object.keys(MEANING);
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit" };
const TIMES = new Set(["iat", "nbf", "exp"]);

/** @param {import("./app.js").Page} page */
export function showIdentity({ config, session, trouble }) {
  const form = byId("login-form");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const seconds = byId("lifetime").value;
    const wish = seconds ? { expiresIn: Number(seconds) } : {};
    say("On the way to the issuer …");
    begin(config, wish).catch((error) => {
      if (!(error instanceof LoginError)) throw error;
      say("");
      trouble(error.message);
    });
  });
  byId("logout").addEventListener("click", () => {
    session.token = null;
    byId("login").focus();
  });
  session.addEventListener("change", render);
  setInterval(tick, 1000);
  render();

  function render() {
    const { contents, secondsLeft } = session;
    const expired = secondsLeft !== null && secondsLeft <= 0;
    form.hidden = !config.issuer || (contents !== null && !expired);
    byId("signed-in").hidden = contents === null;
    byId("claims").replaceChildren(...(contents ? claimsTable(contents) : []));
    if (!config.issuer) say("No issuer is configured here: calls go without a token.");
    else if (contents === null) say("Signed out. Calls go without a token.");
    else if (expired) say("Your token has expired. The gateway refuses it; log in again.");
    else say(`Signed in as ${contents.claims.sub ?? "somebody"}.`);
    tick();
  }

  /** The countdown is outside the live region: a screen reader must not hear every second. */
  function tick() {
    const { contents, secondsLeft } = session;
    const left = secondsLeft === null ? "" : remaining(secondsLeft);
    const who = [contents?.claims.sub ?? "signed in", left].filter(Boolean).join(", ");
    byId("who").textContent = contents === null ? "signed out" : who;
    byId("who").classList.toggle("on", contents !== null && !(secondsLeft <= 0));
    const cell = byId("time-left");
    if (cell) cell.textContent = left;
  }

  function say(text) {
    byId("you-status").textContent = text;
  }
}

function claimsTable({ header, claims }) {
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const names = Object.keys(claims).sort((one, other) => rank(one) - rank(other));
  const signed = [header.alg, header.kid && `key ${String(header.kid).slice(0, 12)}…`].filter(Boolean).join(", ");
  return facts(...names.map((name) => [term(name), readable(name, claims[name])]), ["signed with", signed]);
}

function term(name) {
  return h("span", MEANING[name] ? `${MEANING[name]} ` : "", h("code", name));
}

function readable(name, value) {
  if (TIMES.has(name) && typeof value === "number") {
    const time = new Date(value * 1000).toLocaleTimeString([], CLOCK);
    return name === "exp" ? h("span", `${time}, `, h("span", { id: "time-left", "data-testid": "time-left" })) : time;
  }
  if (Array.isArray(value)) return value.join(", ");
  return typeof value === "object" ? JSON.stringify(value) : value;
}

/** @param {number} seconds */
function remaining(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const text = hours ? `${hours} h ${minutes} min` : minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
  return seconds > 0 ? `${text} left` : "expired";
}
