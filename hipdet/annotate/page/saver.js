// Sends changes to the server, one at a time; each is kept until it is stored or the annotator discards it.

import { same } from "./film.js";
import { sendFilm } from "./server.js";

const RETRY = 2000; // ms

export class Saver {
  /** `onState(state, text)` with idle, saving, saved or error; `onStored(film, answer)`; `onConflict(film, theirs)`. */
  constructor(onState, onStored, onConflict) {
    Object.assign(this, { onState, onStored, onConflict });
    this.waiting = new Set(); // films
    this.held = new Set(); // films that were changed elsewhere and wait for the annotator's decision
    this.refused = new Set(); // films in a state that the server doesn't accept
    this.busy = false;
  }

  get unsaved() {
    return this.busy || this.waiting.size + this.held.size + this.refused.size > 0;
  }

  isUnsaved(film) {
    return this.sending === film || [this.waiting, this.held, this.refused].some((films) => films.has(film));
  }

  put(film) {
    if (this.held.has(film)) return;
    this.refused.delete(film);
    this.waiting.add(film);
    this.#run();
  }

  /** Settle a conflict: save ours over theirs, or take theirs. */
  resolve(film, theirs, keepMine) {
    this.held.delete(film);
    if (keepMine) {
      film.settle(theirs);
      this.put(film);
    } else {
      film.take(theirs);
      this.onStored(film, theirs);
      this.onState(this.unsaved ? "saving" : "saved", "");
    }
  }

  async #run() {
    if (this.busy) return;
    this.busy = true;
    while (this.waiting.size) {
      const film = (this.sending = this.waiting.values().next().value);
      const sent = film.state;
      this.waiting.delete(film);
      if (!this.failing) this.onState("saving", "");
      try {
        this.#stored(film, await sendFilm(film.name, sent));
      } catch (refusal) {
        await this.#refused(film, sent, refusal);
      }
    }
    this.sending = null;
    this.busy = false;
    if (!this.unsaved) this.onState("saved", "");
  }

  #stored(film, answer) {
    this.failing = false;
    film.settle(answer);
    this.onStored(film, answer);
  }

  async #refused(film, sent, refusal) {
    const theirs = refusal.answer.film;
    if (refusal.status === 409 && same(sent, theirs)) {
      this.#stored(film, theirs); // it was stored, only the answer was lost
    } else if (refusal.status === 409) {
      this.waiting.delete(film);
      this.held.add(film);
      this.onState("error", "not saved: changed elsewhere");
      this.onConflict(film, theirs);
    } else if (refusal.status === 400) {
      this.refused.add(film); // sending the same again would not help
      this.onState("error", `not saved: ${refusal.message}`);
    } else {
      this.waiting.add(film);
      this.failing = true;
      this.onState("error", `not saved, trying again: ${refusal.message}`);
      await new Promise((done) => setTimeout(done, RETRY));
    }
  }
}
