// Films in memory: the open one, its neighbours, and all that were changed.

import { Film } from "./film.js";
import { getFilm, getPicture } from "./server.js";

const PICTURES = 6;

export class Shelf {
  constructor(saver, sideOf) {
    Object.assign(this, { saver, sideOf });
    this.films = new Map();
    this.pictures = new Map(); // name -> promise of {url, size, side}
  }

  /** The film, in the server's latest state unless it has unsaved changes. */
  async film(name, fresh = true) {
    const known = this.films.get(name);
    if (known && (!fresh || this.saver.isUnsaved(known))) return known;
    const answer = await getFilm(name);
    const film = this.films.get(name); // another call may have been faster
    if (!film) this.films.set(name, new Film(name, answer));
    else if (!this.saver.isUnsaved(film) && answer.revision >= film.revision) film.take(answer);
    return this.films.get(name);
  }

  /** The picture at the size of the window; the latest few are kept. */
  picture(name) {
    const known = this.pictures.get(name) || getPicture(name, this.sideOf());
    this.pictures.delete(name);
    this.pictures.set(name, known); // the latest comes last
    known.catch(() => this.pictures.delete(name)); // once fixed, the film can be read
    for (const old of [...this.pictures.keys()].slice(0, -PICTURES)) this.#drop(old);
    return known;
  }

  /** The picture, fetched again. */
  again(name) {
    this.#drop(name);
    return this.picture(name);
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
