// Films that are at hand: the present one, its neighbours, and all that were changed.

import { Film } from "./film.js";
import { getFilm, getPicture } from "./server.js";

const PICTURES = 6;

export class Shelf {
  constructor(saver, sideOf) {
    Object.assign(this, { saver, sideOf });
    this.films = new Map();
    this.pictures = new Map(); // name -> promise of {url, size, side}
  }

  /** The film, with the server's latest word unless changes are on their way there. */
  async film(name, fresh = true) {
    const known = this.films.get(name);
    if (known && (!fresh || this.saver.isUnsaved(known))) return known;
    const answer = await getFilm(name);
    const film = this.films.get(name); // another call may have been faster
    if (!film) this.films.set(name, new Film(name, answer));
    else if (!this.saver.isUnsaved(film) && answer.revision >= film.revision) film.take(answer);
    return this.films.get(name);
  }

  /** The picture at the size of the window; a second call has it at once. */
  picture(name) {
    const known = this.pictures.get(name) || getPicture(name, this.sideOf());
    this.pictures.delete(name);
    this.pictures.set(name, known); // the latest comes last
    known.catch(() => this.pictures.delete(name)); // fixed films can be read later
    for (const old of [...this.pictures.keys()].slice(0, -PICTURES)) this.#drop(old);
    return known;
  }

  /** The picture with all pixels of the film. */
  async whole(name) {
    const picture = await getPicture(name, null);
    this.#drop(name);
    this.pictures.set(name, Promise.resolve(picture));
    return picture;
  }

  prefetch(names) {
    for (const name of names.filter(Boolean)) {
      this.picture(name).catch(() => {});
      this.film(name, false).catch(() => {});
    }
  }

  #drop(name) {
    this.pictures.get(name)?.then(({ url }) => URL.revokeObjectURL(url), () => {});
    this.pictures.delete(name);
  }
}
