/** A call from another origin: made by foreign.html in a sandboxed frame, whose origin is opaque ("null"). */

import { h } from "./dom.js";

const PATIENCE = 10_000; // ms

/**
 * What foreign.js found out. `blockedByPolicy` names the directive of the frame's own policy, if that stopped the call.
 * @typedef {{origin: string, url: string, status: number | null, error: string, blockedByPolicy: string}} Report
 */

/** @param {string} method "package.Service/Method" @returns {HTMLIFrameElement} calls when it is put into the page */
export function foreignFrame(method) {
  return h("iframe", { sandbox: "allow-scripts", src: `foreign.html#${method}`, title: "A page of another origin" });
}

/** @param {HTMLIFrameElement} frame not yet in the page @returns {Promise<Report>} */
export function reportOf(frame) {
  return new Promise((resolve) => {
    const silence = { origin: "null", url: frame.src, status: null, error: "no report", blockedByPolicy: "" };
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
