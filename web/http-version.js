/**
 * Which version of HTTP carried a request, by the browser's own Resource Timing.
 *
 * Rule: what is shown was measured. The browser tells of a request when its response is over, and of another origin
 * only what that origin allows (Timing-Allow-Origin). What it does not tell is "".
 */

const NAMES = { "http/1.0": "HTTP/1.0", "http/1.1": "HTTP/1.1", h2: "HTTP/2", h3: "HTTP/3" };

const nameOf = (entry) => NAMES[entry?.nextHopProtocol] ?? "";

/** Requests of which nothing was told yet. @type {Set<{url: string, since: number, tell: (name: string) => void}>} */
const awaited = new Set();

new PerformanceObserver((list) => list.getEntries().forEach(settle)).observe({ type: "resource" });

/** What carried this page. */
export const pageVersion = nameOf(performance.getEntriesByType("navigation")[0]);

/**
 * What carries a request that is about to be made; settles when its response is over.
 * @param {string} url @returns {Promise<string>} "HTTP/2"
 */
export function versionOf(url) {
  const since = performance.now();
  return new Promise((tell) => awaited.add({ url, since, tell }));
}

/** Timing has no handle of the request: of several to one URL, the first gets what is told first. */
function settle(entry) {
  for (const one of awaited) {
    if (one.url !== entry.name || one.since > entry.startTime) continue;
    awaited.delete(one);
    one.tell(nameOf(entry));
    return;
  }
}
