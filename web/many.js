/**
 * The section "Many at once": streams side by side, each drawn as it moves, so that one sees how they share the way.
 *
 * Rule: a column says what its stream did, and a number what was counted; only the words below explain.
 */

import { byId, eachFrame, h, svg } from "./dom.js";
import { pageVersion } from "./http-version.js";
import { badge, loginHint, milliseconds } from "./outcome.js";

const INTERVAL = 150; // ms between the messages of a stream
const TOLD_EVERY = 1000; // ms; time for the first messages to come, and not to read every change aloud
const CONNECTIONS = 6; // that browsers open to a host over HTTP/1.1
const CHART = { width: 1000, height: 100 };

/** @param {import("./app.js").Page} page */
export function showMany({ calls, config }) {
  const cancel = byId("many-cancel");
  const encrypted = config.gateways.find(({ url }) => url.startsWith("https:"))?.url;
  let control = new AbortController();

  byId("many-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    control.abort();
    const own = (control = new AbortController());
    const crowd = new Crowd(byId("many-streams").valueAsNumber, byId("many-messages").valueAsNumber);
    const version = calls.gateway === location.origin ? pageVersion : "";
    cancel.disabled = false;
    byId("many-outcome").replaceChildren();
    byId("many-live").hidden = false;
    byId("many-version").textContent = version || "not told";
    byId("many-chart").replaceChildren(...crowd.lanes.flatMap(({ track, bar }) => [track, bar]));
    say(`Opening ${crowd.lanes.length} streams.`);
    const stopDrawing = eachFrame(() => crowd.draw());
    const telling = setInterval(() => crowd.takeNews() && say(...story(crowd, version, encrypted)), TOLD_EVERY);
    const exchanges = await Promise.all(crowd.lanes.map((lane) => run(crowd, lane, own.signal)));
    clearInterval(telling);
    stopDrawing();
    if (own !== control) return; // others have taken the place of these
    crowd.draw();
    if (document.activeElement === cancel) byId("many-start").focus();
    cancel.disabled = true;
    say(...story(crowd, version, encrypted));
    byId("many-outcome").replaceChildren(...ends(exchanges));
  });
  cancel.addEventListener("click", () => control.abort());

  async function run(crowd, lane, signal) {
    const request = { count: lane.messages, intervalMs: INTERVAL };
    const exchange = await calls.run("Count", async (demo, options) => {
      for await (const _ of demo.count(request, { ...options, signal })) crowd.arrived(lane);
    });
    crowd.ended(lane, exchange.code);
    return exchange;
  }
}

/** One stream and its column. */
class Lane {
  total = 0;
  /** @type {number | null} how it ended */
  code = null;

  constructor(messages, x, width) {
    this.messages = messages;
    this.track = svg("rect", { class: "track", x, y: 0, width, height: CHART.height });
    this.bar = svg("rect", { class: "bar", x, width });
  }

  draw() {
    const height = (CHART.height * this.total) / this.messages;
    this.bar.setAttribute("y", CHART.height - height);
    this.bar.setAttribute("height", height);
    this.bar.classList.toggle("whole", this.code === 0);
    this.bar.classList.toggle("cut", this.code > 0);
  }
}

/** All streams of one try. */
class Crowd {
  waiting; // for the first message
  receiving = 0;
  total = 0;
  /** The most that received at the same time. */
  most = 0;
  #told = 0;

  constructor(streams, messages) {
    const step = CHART.width / streams;
    const lane = (_, index) => new Lane(messages, (index + 0.12) * step, 0.76 * step);
    this.lanes = Array.from({ length: streams }, lane);
    this.waiting = streams;
  }

  arrived(lane) {
    this.total += 1;
    if (lane.total++ > 0) return;
    this.waiting -= 1;
    this.receiving += 1;
    this.most = Math.max(this.most, this.receiving);
  }

  ended(lane, code) {
    lane.code = code;
    if (lane.total > 0) this.receiving -= 1;
    else this.waiting -= 1;
  }

  /** Whether `most` has changed since this was last asked. */
  takeNews() {
    const before = this.#told;
    this.#told = this.most;
    return this.most !== before;
  }

  draw() {
    for (const lane of this.lanes) lane.draw();
    byId("many-receiving").textContent = `${this.receiving} of ${this.lanes.length}`;
    byId("many-waiting").textContent = String(this.waiting);
    byId("many-total").textContent = String(this.total);
  }
}

/** Why that many move, as text and links. */
function story({ most, lanes }, version, encrypted) {
  if (most === 0) return ["No message came."];
  const many = most === lanes.length ? `All ${most} at once.` : `At most ${most} at once.`;
  if (version === "HTTP/2" || version === "HTTP/3") {
    return [`${many} ${version} carries them as streams of one connection, on which their messages take turns.`];
  }
  if (version) {
    const why =
      `${many} Over ${version} a stream holds a connection, and browsers open at most ${CONNECTIONS} to a host. ` +
      "Each of the others starts when one ends; until then any other call to this host waits, too.";
    return encrypted ? [`${why} `, h("a", { href: `${encrypted}/#many` }, "See it over TLS, with HTTP/2")] : [why];
  }
  const untold = "Of another origin the browser does not tell which version of HTTP it speaks";
  if (most <= CONNECTIONS) return [`${many} ${untold}.`];
  return [`${many} ${untold}, but those are more than the ${CONNECTIONS} connections of HTTP/1.1.`];
}

/** How many ended in which way. */
function ends(exchanges) {
  const byCode = new Map();
  for (const exchange of exchanges) byCode.set(exchange.code, [...(byCode.get(exchange.code) ?? []), exchange]);
  return [...byCode].flatMap(([code, those]) => {
    const duration = milliseconds(Math.max(...those.map((exchange) => exchange.duration)));
    const text = [those[0].error?.message, `the last after ${duration}`].filter(Boolean).join(", ");
    const expired = those.find((exchange) => exchange.expired);
    return [
      h("p.headline", h("span", `${those.length} ×`), badge(code), h("span.meta", text)),
      ...(expired ? loginHint(expired) : []),
    ];
  });
}

/** @param {...(string | Node)} text */
function say(...text) {
  byId("many-status").replaceChildren(...text);
}
