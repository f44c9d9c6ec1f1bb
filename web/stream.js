/** The section "A stream of answers": Count, drawn as it arrives. */

import { byId, eachFrame, h, svg } from "./dom.js";
import { milliseconds, outcome, spoken } from "./outcome.js";

const BARS = 60;
const TICKS = 5;
const CHART = { width: 600, height: 120 };
const RATE_WINDOW = 2000; // ms
const SPOKEN_EVERY = 5000; // ms; a screen reader must not hear every message

/** @param {import("./app.js").Page} page */
export function showStream({ calls }) {
  const start = byId("stream-start");
  const cancel = byId("stream-cancel");
  let control = new AbortController();

  byId("stream-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    control.abort();
    const own = (control = new AbortController());
    const request = { count: byId("count").valueAsNumber, intervalMs: byId("interval").valueAsNumber };
    const arrivals = new Arrivals(request);
    cancel.disabled = false;
    byId("stream-outcome").replaceChildren();
    byId("stream-live").hidden = false;
    const stopDrawing = eachFrame(() => draw(arrivals));
    say("Started.");
    const exchange = await calls.run("Count", async (demo, options) => {
      for await (const { number } of demo.count(request, { ...options, signal: own.signal })) {
        if (arrivals.add(number)) say(`${arrivals.total} messages so far.`);
      }
    });
    stopDrawing();
    if (own !== control) return; // another stream has taken the place of this one
    draw(arrivals);
    if (document.activeElement === cancel) start.focus();
    cancel.disabled = true;
    say(`${arrivals.total} messages. ${spoken(exchange)}`);
    byId("stream-outcome").replaceChildren(...outcome(exchange));
  });
  cancel.addEventListener("click", () => control.abort());

  function say(text) {
    byId("stream-status").textContent = text;
  }
}

/** When messages came; the latest only, since a stream may have no end. */
class Arrivals {
  total = 0;
  first = null;
  latest = []; // { number, at, gap }, at most BARS
  #startedAt = performance.now();
  #times = []; // within the rate window
  #spokenAt = this.#startedAt;

  constructor(request) {
    this.request = request;
  }

  /** @returns {boolean} whether it is time to say something */
  add(number) {
    const at = performance.now();
    const before = this.latest.at(-1)?.at ?? this.#startedAt;
    this.total += 1;
    this.first ??= at - this.#startedAt;
    this.latest.push({ number, at, gap: at - before });
    if (this.latest.length > BARS) this.latest.shift();
    this.#times.push(at);
    const speak = at - this.#spokenAt > SPOKEN_EVERY;
    if (speak) this.#spokenAt = at;
    return speak;
  }

  /** Messages per second of late, or null while that says nothing. */
  rate() {
    const now = this.latest.at(-1)?.at;
    this.#times = this.#times.filter((at) => now - at <= RATE_WINDOW);
    const span = now - this.#times[0];
    return span > 0 ? ((this.#times.length - 1) * 1000) / span : null;
  }

  /** The median gap in ms, without the first, which is not between messages; null without any. */
  usualGap() {
    const gaps = this.latest.filter(({ number }) => number !== 1).map(({ gap }) => gap);
    return gaps.sort((one, other) => one - other)[gaps.length >> 1] ?? null;
  }
}

function draw(arrivals) {
  const { total, first, request } = arrivals;
  const rate = arrivals.rate();
  const gap = arrivals.usualGap();
  byId("stream-count").textContent = request.count ? `${total} of ${request.count}` : String(total);
  byId("stream-rate").textContent = rate === null ? "–" : `${rate.toFixed(rate < 100 ? 1 : 0)} / s`;
  byId("stream-first").textContent = first === null ? "–" : milliseconds(first);
  byId("stream-gap").textContent = gap === null ? "–" : milliseconds(gap);
  byId("chart").setAttribute("viewBox", `0 0 ${CHART.width} ${CHART.height}`);
  byId("chart").setAttribute("preserveAspectRatio", "none");
  byId("chart").replaceChildren(...bars(arrivals));
  const ticks = arrivals.latest.slice(-TICKS).reverse();
  const items = ticks.map(({ number, gap }) => h("li", h("b", String(number)), ` +${milliseconds(gap)}`));
  byId("ticker").replaceChildren(...items);
}

function bars({ latest, request }) {
  const highest = Math.max(...latest.map(({ gap }) => gap), request.intervalMs * 1.6, 1);
  const step = CHART.width / BARS;
  const y = (gap) => CHART.height * (1 - gap / highest);
  const columns = latest.map(({ gap }, index) =>
    svg("rect", { x: index * step + 1, y: y(gap), width: step - 2, height: CHART.height - y(gap), rx: 1.5 }),
  );
  const asked = y(request.intervalMs);
  return [...columns, svg("line", { x1: 0, x2: CHART.width, y1: asked, y2: asked })];
}
