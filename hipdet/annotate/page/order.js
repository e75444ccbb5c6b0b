// The order of the films, and the progress.

const OPEN = new Set(["new", "unchecked", "incomplete"]);

export class Order {
  constructor(films) {
    this.films = new Map(films.map((film) => [film.name, film])); // name -> {name, status, unsure, replaced}
    this.byName = [...this.films.keys()];
    this.visited = new Set();
    this.doubts = {};
    this.unreadable = {};
    this.byDoubt = true;
    this.names = this.byName;
  }

  /** Doubtful films first, films without a proposal last; visited films keep their places. */
  sort() {
    const doubt = (name) => this.doubts[name] ?? -1;
    const sorted = this.byDoubt ? [...this.byName].sort((a, b) => doubt(b) - doubt(a)) : this.byName;
    this.names = this.byDoubt ? [...this.visited, ...sorted.filter((name) => !this.visited.has(name))] : sorted;
  }

  isOpen(name) {
    const { status, replaced } = this.films.get(name);
    return (OPEN.has(status) || replaced) && !(name in this.unreadable);
  }

  /** What else the list says of the film. */
  tagsOf(name) { return ["unsure", "replaced"].filter((tag) => this.films.get(name)[tag]); }

  statusOf(name) {
    const { status } = this.films.get(name);
    return name in this.unreadable && status !== "excluded" ? "unreadable" : status;
  }

  at(name, offset) { return this.names[this.names.indexOf(name) + offset]; }

  /** The next open film after `name`, from the start again at the end; undefined when none is left. */
  nextOpen(name) {
    const here = this.names.indexOf(name);
    return [...this.names.slice(here + 1), ...this.names.slice(0, here + 1)].find((each) => this.isOpen(each));
  }

  /** How many films are finished, how many are left, and how many have each status. */
  get tally() {
    const counts = {};
    for (const name of this.byName) counts[this.statusOf(name)] = (counts[this.statusOf(name)] || 0) + 1;
    const left = this.byName.filter((name) => this.isOpen(name)).length;
    return { counts, left, finished: this.byName.length - left };
  }
}
