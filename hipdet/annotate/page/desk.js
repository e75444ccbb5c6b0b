// The open film and everything that can be done to it.

import { statusOf } from "./film.js";
import { centreOf, clamp, grown, moved, rounded } from "./geometry.js";

export class Desk {
  /** `onChange()` is called after every visible change, `onDraft()` while the mouse draws; `say(text)` shows a message. */
  constructor({ classes, rois, freeShape }, saver, { onChange, onDraft, say }) {
    Object.assign(this, { classes, rois, freeShape, saver, onChange, onDraft, say });
    this.film = null;
    this.selected = -1;
    this.draft = null;
    this.label = classes[0];
  }

  open(film) {
    Object.assign(this, { film, selected: -1, draft: null });
    this.onChange();
  }

  get size() { return this.view.size; }

  get status() { return statusOf(this.film, this.rois); }

  select(index) {
    this.selected = index;
    this.onChange();
  }

  setDraft(box, instead = -1) {
    const label = this.film?.shown[instead]?.label || this.label;
    const began = !this.draft !== !box;
    this.draft = box && { box, instead, label };
    if (began) this.onChange();
    else if (box) this.onDraft();
  }

  mayAdd() {
    const full = this.rois !== null && this.film.shown.length >= this.rois;
    if (full) this.say(`This film already has its ${this.rois} ROI${this.rois > 1 ? "s" : ""}: drag one, or delete one first (Del)`);
    return !full;
  }

  add(box) {
    if (!this.mayAdd()) return;
    const [width, height] = this.size;
    const [cx, cy] = centreOf(box);
    if (cx < 0 || cy < 0 || cx > width || cy > height) return this.say("The centre of a box must be on the film");
    this.edit((state) => state.boxes.push({ box: rounded(box), label: this.label }));
    this.select(this.film.boxes.length - 1);
  }

  replace(index, box) {
    const [cx, cy] = centreOf(box);
    if (cx !== clamp(cx, 0, this.size[0]) || cy !== clamp(cy, 0, this.size[1])) return this.say("The centre of a box must be on the film");
    this.edit((state) => { state.boxes[index].box = rounded(box); });
  }

  /** Change the selected box, or the last one. */
  adjust(change) {
    const index = this.selected >= 0 ? this.selected : this.film.shown.length - 1;
    if (index < 0) return;
    this.selected = index;
    this.replace(index, change(this.film.shown[index].box));
  }

  move(dx, dy) { this.adjust((box) => moved(box, dx, dy, this.size)); }
  grow(by) { this.adjust((box) => grown(box, by, by)); }

  remove() {
    const index = this.selected >= 0 ? this.selected : this.film.shown.length - 1;
    if (index < 0) return;
    this.selected = -1;
    this.edit((state) => state.boxes.splice(index, 1));
  }

  /** Mark the selected box, or the last one, as cut by the film's edge: neither ROI nor background; or undo that. */
  cut() {
    const index = this.selected >= 0 ? this.selected : this.film.shown.length - 1;
    if (index < 0) return;
    this.selected = index;
    this.edit((state) => {
      if (state.boxes[index].cut) delete state.boxes[index].cut;
      else state.boxes[index].cut = true;
    });
  }

  selectNext(event) {
    const count = this.film.shown.length;
    if (count) this.select((this.selected + (event.shiftKey ? count - 1 : 1) + (this.selected < 0 && event.shiftKey ? 1 : 0)) % count);
  }

  setClass(number) {
    if (number >= this.classes.length) return;
    this.label = this.classes[number];
    if (this.selected >= 0 && this.film.shown[this.selected].label !== this.label) this.edit((state) => { state.boxes[this.selected].label = this.label; });
    this.onChange();
  }

  confirm() {
    if (!this.film.checked && (this.film.shown.length || this.film.none || this.film.exclude)) this.edit(() => {});
  }

  /** Mark the film as having no ROI, or undo that; drawn or confirmed boxes must be deleted first, so a slip loses nothing. */
  none() {
    if (this.film.checked && this.film.boxes.length) return this.say("This film has boxes: delete them first (Del)");
    const none = !this.film.none || !this.film.checked;
    this.selected = -1;
    this.edit((state) => Object.assign(state, none ? { boxes: [], none } : { none }));
  }

  exclude(reason) { this.edit((state) => { state.exclude = reason; }); }
  unsure() { this.edit((state) => { state.unsure = !state.unsure; }); }
  undo() { this.#stored(this.film.undo(), "Nothing to undo on this film"); }
  redo() { this.#stored(this.film.redo(), "Nothing to redo on this film"); }

  edit(change) { this.#stored(this.film.edit(change)); }

  #stored(changed, otherwise) {
    if (changed) this.saver.put(this.film);
    else if (otherwise) this.say(otherwise);
    this.selected = Math.min(this.selected, this.film.shown.length - 1);
    this.onChange();
  }
}
