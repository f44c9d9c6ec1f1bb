/** A call from another origin: made by foreign.html in a sandboxed frame, whose origin is opaque ("null"). */

import { h } from "./dom.js";

const PATIENCE = 10_000; // ms

/**
 * What foreign.js found out. `blockedByPolicy` names the directive of the frame's own policy, if that stopped the call.
 * @typedef {{origin: string, url: string, status: number | null, error: string, blockedByPolicy: string}} Report
 */

/** @param {string} url of the method @returns {HTMLIFrameElement} calls it when it is put into the page */
export function foreignFrame(url) {
  return h("iframe", { sandbox: "allow-scripts", src: `foreign.html#${url}`, title: "A page of another origin" });
}

/** @param {HTMLIFrameElement} frame not yet in the page @returns {Promise<Report>} */
export function reportOf(frame) {
  return new Promise((resolve) => {
    const url = new URL(frame.src).hash.slice(1);
    const silence = { origin: "null", url, status: null, error: "no report", blockedByPolicy: "" };
    const timer = setTimeout(settle, PATIENCE, silence);
    addEventListener("message", listen);

    /** Any page may send messages to this one; the source says that it was the frame. */
    function listen(event) {
      if (event.source === frame.contentWindow && event.origin === "null") settle(event.data);
    }

    function settle(report) {
      clearTimeout(timer);
      removeEventListener("message", listen);
      resolve(report);
    }
  });
}
