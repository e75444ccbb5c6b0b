// Draws the boxes on the film.

import { centreOf, corners } from "./geometry.js";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = ["#ffd400", "#4fd0ff", "#ff7ad9", "#8dff6b", "#ffa24f", "#b79bff"];
const PROPOSED = "#ff5a52";
const HANDLE = 5; // screen pixels from centre to edge
const CROSS = 5;

export const colourOf = (classes, label, proposed) =>
  proposed && classes.length === 1 ? PROPOSED : COLOURS[Math.max(0, classes.indexOf(label)) % COLOURS.length];

function element(name, attributes, parent) {
  const made = parent.appendChild(document.createElementNS(SVG, name));
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function drawBox(layer, { box, label, candidate, cut }, { open, selected, draft, colour, scale }) {
  const [x0, y0, x1, y1] = box;
  const group = element("g", {}, layer);
  group.style.setProperty("--colour", colour);
  const style = ["box", open && "open", candidate && "candidate", cut && "cut", selected && "selected", draft && "draft"].filter(Boolean).join(" ");
  element("rect", { class: style, x: x0, y: y0, width: x1 - x0, height: y1 - y0, "data-label": label }, group);
  const [cx, cy] = centreOf(box);
  const arm = CROSS / scale;
  element("path", { class: "centre", d: `M${cx - arm} ${cy}H${cx + arm}M${cx} ${cy - arm}V${cy + arm}` }, group);
  if (!selected) return;
  const half = HANDLE / scale;
  for (const { at } of corners(box))
    element("rect", { class: "handle", x: at[0] - half, y: at[1] - half, width: 2 * half, height: 2 * half }, group);
}

/** Draw the boxes of `film`, and the draft that the mouse is drawing. */
export function drawBoxes(layer, film, { classes, selected, draft, scale }) {
  layer.replaceChildren();
  layer.classList.toggle("excluded", Boolean(film.exclude));
  film.shown.forEach((each, n) => {
    if (n === draft?.instead) return;
    const colour = colourOf(classes, each.label, film.proposed);
    drawBox(layer, each, { open: !film.checked, selected: n === selected, colour, scale });
  });
  if (draft) drawBox(layer, draft, { draft: true, colour: colourOf(classes, draft.label, false), scale });
}
