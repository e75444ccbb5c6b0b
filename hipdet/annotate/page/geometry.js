// Boxes are [x0, y0, x1, y1] in continuous pixels of the upright film, regardless of zoom and screen.

export const SMALLEST = 4; // px of the film

export const centreOf = ([x0, y0, x1, y1]) => [(x0 + x1) / 2, (y0 + y1) / 2];
export const sizeOf = ([x0, y0, x1, y1]) => [x1 - x0, y1 - y0];
export const contains = ([x0, y0, x1, y1], [x, y]) => x0 <= x && x <= x1 && y0 <= y && y <= y1;
export const rounded = (box) => box.map((edge) => Math.round(edge * 100) / 100);

/** The square around `centre` whose edge reaches `point`. */
export function squareAround([cx, cy], [x, y]) {
  const half = Math.max(Math.abs(x - cx), Math.abs(y - cy));
  return [cx - half, cy - half, cx + half, cy + half];
}

/** The box between two corners, in any order. */
export function boxBetween([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
}

/** `box` moved by (dx, dy), its centre kept on the film of [width, height]. */
export function moved(box, dx, dy, [width, height]) {
  const [cx, cy] = centreOf(box);
  const mx = clamp(cx + dx, 0, width) - cx;
  const my = clamp(cy + dy, 0, height) - cy;
  return [box[0] + mx, box[1] + my, box[2] + mx, box[3] + my];
}

/** `box` made wider by `dw` and higher by `dh` pixels, around its centre. */
export function grown(box, dw, dh) {
  const [cx, cy] = centreOf(box);
  const [w, h] = sizeOf(box).map((side, axis) => Math.max(SMALLEST, side + (axis ? dh : dw)) / 2);
  return [cx - w, cy - h, cx + w, cy + h];
}

/** `box` with the corner [right?, lower?] dragged to `point` and the opposite one fixed; `square` keeps it square. */
export function cornerMoved(box, [right, lower], [x, y], square) {
  const fixed = [right ? box[0] : box[2], lower ? box[1] : box[3]];
  let w = Math.max(SMALLEST, right ? x - fixed[0] : fixed[0] - x);
  let h = Math.max(SMALLEST, lower ? y - fixed[1] : fixed[1] - y);
  if (square) w = h = Math.max(w, h);
  return boxBetween(fixed, [fixed[0] + (right ? w : -w), fixed[1] + (lower ? h : -h)]);
}

export const corners = ([x0, y0, x1, y1]) =>
  [[0, 0], [1, 0], [0, 1], [1, 1]].map(([right, lower]) => ({ corner: [right, lower], at: [right ? x1 : x0, lower ? y1 : y0] }));

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
