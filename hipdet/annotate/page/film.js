// The state of one film, with undo and redo; the same fields as FilmState in hipdet.annotate.film_state.

const FIELDS = ["boxes", "exclude", "unsure", "checked", "none"];
const stateOf = (record) => structuredClone(Object.fromEntries(FIELDS.map((field) => [field, record[field]])));
export const same = (a, b) => JSON.stringify(stateOf(a)) === JSON.stringify(stateOf(b));

/** The same as FilmState.status in Python; a finished film has `rois` ROIs (null: any number). */
export function statusOf(film, rois) {
  if (film.exclude) return "excluded";
  if (!film.boxes.length && !film.none) return "new";
  if (!film.checked) return "unchecked";
  return film.none || rois === null || film.boxes.length === rois ? "done" : "incomplete";
}

export class Film {
  constructor(name, answer) {
    this.name = name;
    this.past = [];
    this.future = [];
    this.take(answer);
  }

  /** Take the server's state; if it differs from ours, undo and redo start afresh. */
  take(answer) {
    const changed = this.revision !== undefined && !same(this, answer);
    Object.assign(this, stateOf(answer));
    this.settle(answer);
    if ("proposal" in answer) this.proposal = answer.proposal;
    if (changed) this.past = this.future = [];
  }

  /** Take what the server says beside the state: its revision, the film's size, and the size before it was replaced. */
  settle({ revision, size, replaced }) { Object.assign(this, { revision, size, replaced }); }

  get state() {
    return { ...stateOf(this), revision: this.revision, size: this.size };
  }

  /** Whether the model's boxes are shown: until the annotator has changed or confirmed anything. */
  get proposed() {
    return !this.checked && !this.boxes.length && !this.none && !this.exclude && Boolean(this.proposal?.boxes.length);
  }

  /** The boxes to show: the film's own, or else the proposed ones. */
  get shown() {
    if (!this.proposed) return this.boxes;
    return this.proposal.boxes.map((box, n) => ({ box, label: this.proposal.labels[n], score: this.proposal.scores[n] }));
  }

  /** Apply `change(state)`, after proposals have become boxes. Returns whether anything has changed. */
  edit(change) {
    const before = stateOf(this);
    const after = { ...stateOf(this), checked: true };
    if (this.proposed) after.boxes = structuredClone(this.shown).map(({ box, label }) => ({ box, label }));
    change(after);
    if (after.boxes.length) after.none = false;
    if (same(before, after)) return false;
    this.past = [...this.past, before];
    this.future = [];
    Object.assign(this, after, { replaced: null });
    return true;
  }

  undo() { return this.#step("past", "future"); }
  redo() { return this.#step("future", "past"); }

  #step(from, to) {
    if (!this[from].length) return false;
    this[to] = [...this[to], stateOf(this)];
    Object.assign(this, structuredClone(this[from].at(-1)));
    this[from] = this[from].slice(0, -1);
    return true;
  }
}
