// The texts of the page: position, counts, the ROIs of the film, hints.

import { centreOf, sizeOf } from "./geometry.js";
import { colourOf } from "./layer.js";

export const $ = (id) => document.getElementById(id);
const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

export function showPlace(order, name) {
  const { counts, left, finished } = order.tally;
  $("position").textContent = `${order.names.indexOf(name) + 1} / ${order.names.length}`;
  $("name").textContent = name;
  $("bar").style.width = `${(100 * finished) / order.names.length}%`;
  const parts = [`${counts.done || 0} done`, counts.excluded && `${counts.excluded} excluded`, `${left} left`,
    counts.unreadable && `${counts.unreadable} unreadable`];
  $("counts").textContent = parts.filter(Boolean).join(" · ");
  document.title = `${name} – hipdet`;
}

export function showSaving(state, text) {
  $("saving").dataset.state = state;
  $("saving").textContent = text || { idle: "", saving: "saving …", saved: "saved" }[state] || "not saved";
  $("saving").title = text;
}

let fading;
export function say(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { $("toast").hidden = true; }, 3500);
}

export function showMessage(title, text = "") {
  const bold = document.createElement("b");
  const rest = document.createElement("span");
  bold.textContent = title;
  rest.textContent = text;
  $("message").replaceChildren(bold, rest);
  $("message").hidden = !title;
}

function row(text, value, { colour, style, onClick }) {
  const item = document.createElement("li");
  item.className = style;
  if (colour) item.style.setProperty("--colour", colour);
  for (const each of [text, value]) item.append(Object.assign(document.createElement("span"), { textContent: each }));
  if (onClick) item.addEventListener("click", onClick);
  return item;
}

function sideOf(boxes, index, width) {
  const xs = boxes.map(({ box }) => centreOf(box)[0]);
  const left = boxes.length === 2 ? xs[index] < xs[1 - index] : xs[index] < width / 2;
  return left ? "picture left" : "picture right";
}

export function showRois(desk) {
  const { film, classes, rois, selected } = desk;
  const shown = film.shown;
  const paired = rois === 2 && shown.length <= 2 && desk.size;
  const items = shown.map((each, n) => {
    const name = [classes.length > 1 && each.label, paired && sideOf(shown, n, desk.size[0])].filter(Boolean).join(", ") || `ROI ${n + 1}`;
    const cut = each.cut ? ", cut" : "";
    const sides = sizeOf(each.box).map(Math.round);
    const value = desk.freeShape ? `${sides[0]} × ${sides[1]} px` : `${sides[0]} px`;
    const score = each.score === undefined ? "" : `${each.candidate ? "candidate " : ""}${each.score.toFixed(2)} · `;
    const style = [n === selected && "selected", !film.checked && "open"].filter(Boolean).join(" ");
    return row(name + cut, score + value, { colour: colourOf(classes, each.label, film.proposed), style, onClick: () => desk.select(n) });
  });
  for (let n = shown.length; n < (film.none ? 0 : rois ?? 0); n++) items.push(row(`ROI ${n + 1}`, "to draw", { style: "wanted" }));
  $("rois").replaceChildren(...items);
  $("roi-count").textContent = film.none ? "none" : rois === null ? plural(shown.length, "box").replace("boxs", "boxes") : `${shown.length} of ${rois}`;
  $("hint").textContent = hintOf(desk);
  showRemarks(film);
}

function showRemarks(film) {
  const doubts = film.checked ? "" : (film.proposal?.flags || []).join(", ").replaceAll("_", " ");
  $("flags").textContent = film.exclude ? `Excluded: ${film.exclude}` : doubts && `Check: ${doubts}`;
  $("flags").hidden = !$("flags").textContent;
  $("unsure").setAttribute("aria-pressed", film.unsure);
  $("none").setAttribute("aria-pressed", film.none);
  $("exclude").firstChild.textContent = film.exclude ? "Include again " : "Exclude … ";
}

function hintOf({ film, draft, classes, rois, freeShape, status, size }) {
  if (film.replaced) return `Labelled at ${film.replaced.join(" × ")} px, and replaced by another film since. Press Enter if ${film.exclude ? "it is to stay excluded" : "the boxes are right, drag what is wrong"}.`;
  if (film.exclude) return "This film is excluded. X includes it again.";
  if (!size) return "";
  if (draft && draft.instead < 0) return freeShape ? "Release, or click the other corner." : "Release at the rim, or click it.";
  if (film.none && film.checked) return "This film has no ROI. Enter goes on; E undoes that.";
  if (film.none) return "Imported labels: no ROI. Press Enter if that is right.";
  if (film.proposed && film.shown.some(({ candidate }) => candidate)) return "A dotted box is only a candidate: delete it if it is no ROI (Del). Enter accepts all boxes.";
  if (film.proposed) return "The model's proposal. Press Enter if it is right, drag what is wrong, press E if there is no ROI.";
  if (status === "unchecked") return "Imported labels. Press Enter if they are right, drag what is wrong.";
  if (status === "done" && film.boxes.length === rois) return "Complete. Enter goes on.";
  return freeShape
    ? "Press on a corner of the ROI and drag to the opposite one."
    : `Press on the centre of ${classes.includes("hip") ? "a femoral head" : "the ROI"} and drag outward.`;
}

export function showClasses(desk) {
  if (desk.classes.length < 2) return;
  const buttons = desk.classes.map((name, n) => {
    const button = Object.assign(document.createElement("button"), { textContent: `${n + 1} ${name}` });
    button.style.color = colourOf(desk.classes, name, false);
    button.setAttribute("aria-pressed", name === desk.label);
    button.addEventListener("click", () => desk.setClass(n));
    return button;
  });
  $("classes").replaceChildren(...buttons);
}
