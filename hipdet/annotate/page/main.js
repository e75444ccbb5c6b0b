// Puts the parts of the page together.

import { Desk } from "./desk.js";
import { askConflict, askReason, dialogOpen, fillHelp, showHelp, showList } from "./dialogs.js";
import { statusOf } from "./film.js";
import { connectKeys } from "./keys.js";
import { drawBoxes } from "./layer.js";
import { Order } from "./order.js";
import { $, say, showClasses, showMessage, showPlace, showRois, showSaving } from "./panel.js";
import { connectPointer } from "./pointer.js";
import { Saver } from "./saver.js";
import { getNews, getOverview } from "./server.js";
import { Shelf } from "./shelf.js";
import { View } from "./view.js";

const NEWS_SOON = 1500; // ms, while a model is running
const NEWS_LATER = 10000;

let current = null; // name of the film that is shown or being loaded
let task, order, desk, pointer, sharpening;
let faulty = false; // whether the latest news had faults

const view = new View($("stage"), $("film"), () => { redraw(); sharpen(); });
const saver = new Saver(showSaving, note, conflict);
const shelf = new Shelf(saver, () => view.fittingSide);

function redraw() {
  if (!desk?.film || !view.size) return $("boxes").replaceChildren();
  drawBoxes($("boxes"), desk.film, { ...desk, scale: view.scale });
}

/** Update the counts with a film's status. */
function note(film) {
  const listed = order.films.get(film.name);
  const status = statusOf(film, task.rois);
  const replaced = Boolean(film.replaced);
  if (listed.status === status && listed.unsure === film.unsure && listed.replaced === replaced) return;
  Object.assign(listed, { status, replaced, unsure: film.unsure });
  showPlace(order, current);
}

function changed() {
  redraw();
  if (!desk.film) return;
  note(desk.film);
  showRois(desk);
  showClasses(desk);
}

async function conflict(film, theirs) {
  const keepMine = await askConflict(film, theirs);
  saver.resolve(film, theirs, keepMine);
  go(film.name);
}

async function go(name) {
  if (!name) return;
  pointer.abandon();
  current = name;
  order.visited.add(name);
  desk.film = null;
  redraw();
  $("stage").classList.add("busy"); // the picture is still that of the previous film
  const picture = shelf.picture(name);
  const film = await shelf.film(name).catch((error) => error);
  let shown = await picture.catch((error) => error);
  if (film.size && shown.size && String(film.size) !== String(shown.size)) shown = await shelf.again(name).catch((error) => error); // it was replaced
  if (current !== name) return; // another film was opened meanwhile
  $("stage").classList.remove("busy");
  history.replaceState(null, "", `#${encodeURIComponent(name)}`);
  showPlace(order, name);
  for (const fault of [film, shown].filter((each) => each instanceof Error)) return failed(name, film, fault);
  showMessage("");
  delete order.unreadable[name]; // it was fixed
  view.show(shown);
  desk.open(film);
  shelf.prefetch([order.at(name, 1), order.nextOpen(name), order.at(name, 2), order.at(name, -1)]);
}

function failed(name, film, fault) {
  view.clear();
  if (fault.status !== 422) return showMessage("This film can't be shown", fault.message);
  order.unreadable[name] = fault.message;
  showPlace(order, name);
  desk.open(film);
  showMessage("This film can't be read", `${fault.message}\n\nIt is listed as unreadable. Go on with N, or exclude it with X.`);
}

/** Fetch all pixels when the zoom shows more than the picture has. */
function sharpen() {
  clearTimeout(sharpening);
  sharpening = setTimeout(async () => {
    const name = current;
    const picture = name && view.size && (await shelf.picture(name).catch(() => null));
    if (!picture || current !== name || picture.side >= Math.max(...picture.size) || view.wantedSide <= picture.side * 1.2) return;
    const whole = await shelf.whole(name).catch(() => null);
    if (!whole || current !== name) return;
    if (String(whole.size) === String(view.size)) view.show(whole, true);
    else go(name); // it was replaced
  }, 150);
}

function accept() {
  desk.confirm();
  const next = order.nextOpen(current);
  if (next && next !== current) return go(next);
  const { left, counts } = order.tally;
  const unreadable = counts.unreadable ? ` (${counts.unreadable} can't be read)` : "";
  say(left ? "This is the last open film" : `All films are done${unreadable}. The labels are in ${task.files}`);
}

const step = (offset) => () => {
  const name = order.at(current, offset);
  if (name) go(name);
  else say(offset > 0 ? "This is the last film" : "This is the first film");
};

function exclude() {
  if (desk.film.exclude) return desk.exclude(null);
  askReason(task.reasons, (reason) => desk.exclude(reason));
}

function light(change) {
  view.setLight(change);
  $("brightness").value = view.light.brightness;
  $("contrast").value = view.light.contrast;
  $("invert").setAttribute("aria-pressed", view.light.inverted);
}

function toggleOrder() {
  if (!task.model) return say("Films are sorted by name; with --model, doubtful films can come first");
  order.byDoubt = !order.byDoubt;
  order.sort();
  showPlace(order, current);
  say(order.byDoubt ? "Doubtful films first" : "Films sorted by name");
}

const withFilm = (act) => (...given) => { if (desk.film) act(...given); };
const withPicture = (act) => (...given) => { if (desk.film && view.size) act(...given); };

const actions = {
  accept: withFilm(accept),
  next: step(1),
  previous: step(-1),
  nextOpen: () => go(order.nextOpen(current)),
  list: () => showList(order, current, go),
  move: withPicture((dx, dy) => desk.move(dx, dy)),
  grow: withPicture((by) => desk.grow(by)),
  selectNext: withPicture((event) => desk.selectNext(event)),
  remove: withPicture(() => desk.remove()),
  setClass: withPicture((number) => desk.setClass(number)),
  undo: withFilm(() => desk.undo()),
  redo: withFilm(() => desk.redo()),
  exclude: withFilm(exclude),
  none: withPicture(() => desk.none()),
  unsure: withPicture(() => desk.unsure()),
  cut: withPicture(() => desk.cut()),
  invert: () => light({ inverted: !view.light.inverted }),
  light: (which, by) => light({ [which]: Math.min(400, Math.max(20, view.light[which] + by)) }),
  resetLight: () => light({ brightness: 100, contrast: 100, inverted: false }),
  zoom: (factor) => view.zoomBy(factor),
  fit: () => view.fit(),
  order: toggleOrder,
  escape: withPicture(() => { if (!pointer.abandon()) desk.select(-1); }),
  help: showHelp,
};

function connectButtons() {
  const clicks = { accept: "accept", previous: "previous", next: "next", none: "none", exclude: "exclude", unsure: "unsure", invert: "invert", fit: "fit",
    "list-button": "list", "help-button": "help" };
  for (const [id, action] of Object.entries(clicks))
    $(id).addEventListener("click", (event) => { actions[action](event); $(id).blur(); });
  for (const id of ["brightness", "contrast"]) $(id).addEventListener("input", () => light({ [id]: Number($(id).value) }));
}

function takeNews(news) {
  const more = Object.keys(news.doubts).length !== Object.keys(order.doubts).length;
  Object.assign(order, { doubts: news.doubts, unreadable: { ...order.unreadable, ...news.unreadable } });
  if (more) order.sort();
  if ((news.faults.length || faulty) && !saver.unsaved) showSaving(news.faults.length ? "error" : "saved", news.faults.join("; "));
  faulty = news.faults.length > 0;
  if (current) showPlace(order, current);
  const seen = Object.keys(news.doubts).length;
  $("task").textContent = [`${task.annotator} → ${task.files}`, news.proposing && `model: ${seen} of ${order.names.length} films`].filter(Boolean).join(" · ");
}

async function poll() {
  const news = await getNews().catch(() => null);
  if (news) takeNews(news);
  const { film } = desk;
  if (film && film.name in order.doubts && !film.proposal && !saver.isUnsaved(film)) await shelf.film(film.name).then(changed, () => {});
  setTimeout(poll, news?.proposing ? NEWS_SOON : NEWS_LATER);
}

/** The film that the address names (`#NAME`, escaped), as links of reports do; null if the folder lacks it. */
function wished() {
  try {
    const name = decodeURIComponent(location.hash.slice(1));
    return order.films.has(name) ? name : null;
  } catch { // an escape that is none
    return null;
  }
}

async function start() {
  showMessage("Opening …");
  task = await getOverview();
  order = new Order(task.films);
  order.byDoubt = task.model;
  desk = new Desk(task, saver, { onChange: changed, onDraft: redraw, say });
  desk.view = view;
  pointer = connectPointer($("stage"), view, desk);
  fillHelp(connectKeys(actions, dialogOpen));
  connectButtons();
  takeNews(task);
  order.sort();
  go(wished() || order.nextOpen(order.names.at(-1)) || order.names[0]);
  addEventListener("hashchange", () => go(wished()));
  setTimeout(poll, task.proposing ? NEWS_SOON : NEWS_LATER);
}

addEventListener("beforeunload", (event) => { if (saver.unsaved) event.preventDefault(); });
start().catch((error) => showMessage("The page could not be opened", error.message));
