// The view of the film: the viewBox of the SVG is the visible part of the film, so everything in it is in film pixels.

import { clamp } from "./geometry.js";

const MARGIN = 0.97; // share of the window that a fitted film takes
const CLOSEST = 16; // screen pixels per film pixel

export class View {
  constructor(stage, image, onChange) {
    Object.assign(this, { stage, image, onChange });
    this.size = null; // of the film, [width, height]
    this.light = { brightness: 100, contrast: 100, inverted: false };
    new ResizeObserver(() => this.size && (this.fitted ? this.fit() : this.#apply())).observe(stage);
  }

  get scale() { return this.zoom; } // screen (CSS) pixels per film pixel

  /** The resolution that the present zoom can show: pixels of the picture's long side. */
  get wantedSide() { return Math.max(...this.size) * this.zoom * devicePixelRatio; }

  /** Long side of a picture that fills the window. */
  get fittingSide() {
    const side = Math.max(this.stage.clientWidth, this.stage.clientHeight) * devicePixelRatio;
    return clamp(Math.ceil(side / 512) * 512, 512, 4096);
  }

  show(picture, keep) {
    this.size = picture.size;
    this.image.setAttribute("href", picture.url);
    this.image.setAttribute("width", picture.size[0]);
    this.image.setAttribute("height", picture.size[1]);
    if (!keep) this.fit();
  }

  clear() {
    this.size = null;
    this.image.removeAttribute("href");
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!this.size || !width || !height) return;
    this.fitted = true;
    this.zoom = MARGIN * Math.min(width / this.size[0], height / this.size[1]);
    this.x = this.size[0] / 2 - width / this.zoom / 2;
    this.y = this.size[1] / 2 - height / this.zoom / 2;
    this.#apply();
  }

  /** Zoom by `factor` about the pointer, or about the middle without one. */
  zoomBy(factor, event) {
    if (!this.size) return;
    const box = this.stage.getBoundingClientRect();
    const px = event ? event.clientX - box.left : box.width / 2;
    const py = event ? event.clientY - box.top : box.height / 2;
    const [x, y] = [this.x + px / this.zoom, this.y + py / this.zoom];
    const least = 0.5 * Math.min(box.width / this.size[0], box.height / this.size[1]);
    this.zoom = clamp(this.zoom * factor, Math.min(least, 1), CLOSEST);
    this.fitted = false;
    this.x = x - px / this.zoom;
    this.y = y - py / this.zoom;
    this.#apply();
  }

  panBy(dx, dy) {
    this.fitted = false;
    this.x -= dx / this.zoom;
    this.y -= dy / this.zoom;
    this.#apply();
  }

  /** The position of a pointer on the film, in film pixels. */
  toFilm(event) {
    const box = this.stage.getBoundingClientRect();
    return [this.x + (event.clientX - box.left) / this.zoom, this.y + (event.clientY - box.top) / this.zoom];
  }

  setLight(change) {
    Object.assign(this.light, change);
    const { brightness, contrast, inverted } = this.light;
    this.image.style.filter = `invert(${inverted ? 1 : 0}) brightness(${brightness}%) contrast(${contrast}%)`;
  }

  #apply() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    this.stage.setAttribute("viewBox", `${this.x} ${this.y} ${width / this.zoom} ${height / this.zoom}`);
    this.onChange();
  }
}
