// From probabilities to masks, and what is measured on them. Nothing here touches the document.

/** The mask of probabilities (0 to 255) above a threshold (0 to 1), with its area and box. */
export function cut(probabilities, width, threshold) {
  const mask = new Uint8Array(probabilities.length);
  const limit = threshold * 255;
  let area = 0;
  const box = { x0: Infinity, y0: Infinity, x1: 0, y1: 0 };
  for (let at = 0, x = 0, y = 0; at < mask.length; at++) {
    if (probabilities[at] > limit) {
      mask[at] = 1;
      area++;
      if (x < box.x0) box.x0 = x;
      if (x >= box.x1) box.x1 = x + 1;
      if (y < box.y0) box.y0 = y;
      box.y1 = y + 1;
    }
    if (++x === width) (x = 0), y++;
  }
  return { mask, area, box: area ? box : null };
}

/** Twice the overlap over the sum of the areas; two empty masks agree. */
export function dice(a, b) {
  let both = 0;
  let sum = 0;
  for (let at = 0; at < a.length; at++) {
    const [left, right] = [a[at] > 0, b[at] > 0];
    both += left && right;
    sum += left + right;
  }
  return sum ? (2 * both) / sum : 1;
}

/** The edges between inside and outside as a path, straight runs in one piece. */
export function outline(mask, width, height) {
  const path = new Path2D();
  const inside = (x, y) => x >= 0 && y >= 0 && x < width && y < height && mask[y * width + x] > 0;
  run(height, width, (y, x) => inside(x, y) !== inside(x, y - 1), (y, from, to) => {
    path.moveTo(from, y);
    path.lineTo(to, y);
  });
  run(width, height, (x, y) => inside(x, y) !== inside(x - 1, y), (x, from, to) => {
    path.moveTo(x, from);
    path.lineTo(x, to);
  });
  return path;
}

function run(lines, length, isEdge, draw) {
  for (let line = 0; line <= lines; line++) {
    let from = -1;
    for (let at = 0; at <= length; at++) {
      const edge = at < length && isEdge(line, at);
      if (edge && from < 0) from = at;
      if (!edge && from >= 0) draw(line, from, at), (from = -1);
    }
  }
}
