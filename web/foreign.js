/*
 * A page that nobody allowed calls the gateway. It runs in a sandboxed frame, so its origin is opaque ("null"), as that
 * of a file on a disk is. It is a classic script: a module is fetched with CORS, which this origin would be refused.
 *
 * Rule: it reports what any foreign page could find out, and no more.
 */
"use strict";

(async () => {
  const url = location.hash.slice(1); // "https://api.example.com/demo.v1.Demo/Echo"
  const outcome = { origin: self.origin, url, blockedByPolicy: "", status: null, error: "" };
  // The frame's own policy must not be what stops the call, or this would show nothing about the gateway.
  document.addEventListener("securitypolicyviolation", (event) => (outcome.blockedByPolicy = event.effectiveDirective));
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/grpc-web+proto", "x-grpc-web": "1" },
      body: new Uint8Array(5), // the frame of an empty message
    });
    outcome.status = response.status;
  } catch (error) {
    outcome.error = `${error.name}: ${error.message}`;
  }
  document.getElementById("origin").textContent = outcome.origin;
  document.getElementById("result").textContent = outcome.error ? "was stopped" : "got an answer";
  parent.postMessage(outcome, new URL(location.href).origin);
})();
