/** Elements in a few words. Text goes in as text, never as markup, so nothing a backend says can become an element. */

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * @param {string} tag with classes: "p.hint"
 * @param {Record<string, string | number | boolean | EventListener> | Node | string} [attributes] on* are listeners
 * @param {...(Node | string | null | undefined | false)} children
 */
export function h(tag, attributes, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  element.classList.add(...classes);
  return filled(element, attributes, children);
}

/** As `h`, for SVG. */
export function svg(tag, attributes, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  if (typeof attributes === "string" || attributes instanceof Node) {
    element.append(attributes);
  } else {
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (typeof value === "function") element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Pairs of term and description. A pair without a description is left out. */
export function facts(...pairs) {
  const known = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return known.flatMap(([name, value]) => [h("dt", name), h("dd", value instanceof Node ? value : String(value))]);
}

/** Calls `draw` before each repaint, until the returned function is called. A fast stream must not draw per message. */
export function eachFrame(draw) {
  let handle = requestAnimationFrame(function again() {
    draw();
    handle = requestAnimationFrame(again);
  });
  return () => cancelAnimationFrame(handle);
}
