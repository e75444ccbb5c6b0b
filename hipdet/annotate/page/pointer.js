// The mouse: drawing by drag or by two clicks, moving, resizing, panning, zooming.

import { boxBetween, clamp, contains, cornerMoved, corners, moved, sizeOf, SMALLEST, squareAround } from "./geometry.js";

const GRAB = 9; // screen pixels around a corner in which the mouse grabs it
const STILL = 3; // screen pixels that the mouse may move in a click

/** Connect `stage` to the desk, which has the film, the selection and their actions. */
export function connectPointer(stage, view, desk) {
  let act = null; // what the pressed button does
  let anchor = null; // centre (or corner) of a box that is drawn by two clicks
  let spaced = false; // Space is held

  const onFilm = ([x, y]) => [clamp(x, 0, view.size[0]), clamp(y, 0, view.size[1])];
  const drawn = (from, to) => (desk.freeShape ? boxBetween(from, onFilm(to)) : squareAround(from, to));
  const slipped = (event) => Math.hypot(event.clientX - act.clientX, event.clientY - act.clientY) > STILL;

  function target(point) {
    const reach = GRAB / view.scale;
    const boxes = desk.film.shown.map(({ box }, index) => ({ box, index }));
    const order = [...boxes.filter(({ index }) => index === desk.selected), ...boxes.filter(({ index }) => index !== desk.selected)];
    for (const { box, index } of order) {
      const held = corners(box).find(({ at }) => Math.abs(at[0] - point[0]) <= reach && Math.abs(at[1] - point[1]) <= reach);
      if (held) return { kind: "resize", index, box, corner: held.corner };
    }
    const inside = boxes.filter(({ box }) => contains(box, point)).sort((a, b) => sizeOf(a.box)[0] - sizeOf(b.box)[0])[0];
    return inside ? { kind: "move", ...inside } : null;
  }

  function finish(from, to) {
    const box = drawn(from, to);
    anchor = null;
    desk.setDraft(null);
    if (Math.min(...sizeOf(box)) >= SMALLEST) desk.add(box);
  }

  function press(event) {
    if (!view.size || !desk.film || act) return;
    stage.setPointerCapture(event.pointerId);
    const { clientX, clientY } = event;
    const point = view.toFilm(event);
    if (event.button !== 0 || spaced) {
      act = { kind: "pan", clientX, clientY };
      stage.classList.add("panning");
    } else if (anchor) {
      act = { kind: "second", clientX, clientY };
    } else {
      const hit = target(point);
      act = { ...(hit || { kind: "draw" }), from: point, clientX, clientY };
      desk.select(hit ? hit.index : -1);
      const outside = point.some((at, axis) => at < 0 || at > view.size[axis]);
      if (!hit && (outside || !desk.mayAdd())) act.kind = "none";
    }
  }

  function move(event) {
    if (!view.size) return;
    const point = view.toFilm(event);
    if (!act || act.kind === "second") {
      if (anchor) desk.setDraft(drawn(anchor, point));
    } else if (act.kind === "pan") {
      view.panBy(event.clientX - act.clientX, event.clientY - act.clientY);
      Object.assign(act, { clientX: event.clientX, clientY: event.clientY });
    } else if (act.kind === "draw") {
      desk.setDraft(drawn(act.from, point));
    } else if (act.kind !== "none" && (act.going ||= slipped(event))) {
      act.result =
        act.kind === "move"
          ? moved(act.box, point[0] - act.from[0], point[1] - act.from[1], view.size)
          : cornerMoved(act.box, act.corner, point, !desk.freeShape);
      desk.setDraft(act.result, act.index);
    }
  }

  function release(event) {
    if (!act) return;
    const point = view.toFilm(event);
    const done = act;
    stage.classList.remove("panning");
    if (done.kind === "second") finish(anchor, point);
    else if (done.kind === "draw" && slipped(event)) finish(done.from, point);
    else if (done.kind === "draw") {
      anchor = done.from;
      desk.setDraft(drawn(anchor, anchor));
    } else if (done.result) {
      desk.setDraft(null);
      desk.replace(done.index, done.result);
    }
    act = null;
  }

  function abandon() {
    const had = Boolean(act || anchor);
    act = anchor = null;
    desk.setDraft(null);
    stage.classList.remove("panning");
    return had;
  }

  stage.addEventListener("pointerdown", press);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", release);
  stage.addEventListener("pointercancel", abandon);
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoomBy(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event);
  }, { passive: false });
  addEventListener("keydown", (event) => { if (event.key === " ") spaced = true; });
  addEventListener("keyup", (event) => { if (event.key === " ") spaced = false; });
  return { abandon };
}
