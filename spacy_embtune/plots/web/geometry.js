// Positions of points on the screen, the nearest point, and points inside a path.

const MARGIN = 28; // pixels between the outermost points and the edges of the plot

// Convert coordinates (x, y, x, y, ...; y upwards) to pixels (y downwards). The points fill the plot
// and are centred. x and y have the same scale, because a projection shows distances.
function fitted(coordinates, width, height) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let at = 0; at < coordinates.length; at += 2) {
    left = Math.min(left, coordinates[at]);
    right = Math.max(right, coordinates[at]);
    low = Math.min(low, coordinates[at + 1]);
    high = Math.max(high, coordinates[at + 1]);
  }
  const room = (size) => Math.max(size - 2 * MARGIN, 1);
  const scale = Math.min(room(width) / (right - left), room(height) / (high - low));
  const unit = Number.isFinite(scale) ? scale : 1;
  const pixels = new Float32Array(coordinates.length);
  for (let at = 0; at < coordinates.length; at += 2) {
    pixels[at] = width / 2 + (coordinates[at] - (left + right) / 2) * unit;
    pixels[at + 1] = height / 2 - (coordinates[at + 1] - (low + high) / 2) * unit;
  }
  return pixels;
}

// Find the nearest of many points. Only the cells around a position are searched.
class Grid {
  constructor(pixels, width, height) {
    const n = pixels.length / 2;
    this.pixels = pixels;
    this.cell = Math.max(6, Math.sqrt((width * height) / Math.max(n, 1)));
    this.columns = Math.max(1, Math.ceil(width / this.cell));
    this.rows = Math.max(1, Math.ceil(height / this.cell));
    // The points of cell c are members[starts[c]] to members[starts[c + 1] - 1].
    this.starts = new Uint32Array(this.columns * this.rows + 1);
    this.members = new Uint32Array(n);
    const cells = new Uint32Array(n);
    for (let i = 0; i < n; i += 1) {
      cells[i] = this.row(pixels[2 * i + 1]) * this.columns + this.column(pixels[2 * i]);
      this.starts[cells[i] + 1] += 1;
    }
    for (let c = 1; c < this.starts.length; c += 1) {
      this.starts[c] += this.starts[c - 1];
    }
    const next = this.starts.slice();
    for (let i = 0; i < n; i += 1) {
      this.members[next[cells[i]]] = i;
      next[cells[i]] += 1;
    }
  }

  column(x) {
    return Math.min(Math.max(Math.floor(x / this.cell), 0), this.columns - 1);
  }

  row(y) {
    return Math.min(Math.max(Math.floor(y / this.cell), 0), this.rows - 1);
  }

  // The nearest point within a radius for which `accept` returns true, or -1.
  nearest(x, y, radius, accept) {
    let best = -1;
    let least = radius * radius;
    for (let row = this.row(y - radius); row <= this.row(y + radius); row += 1) {
      for (let column = this.column(x - radius); column <= this.column(x + radius); column += 1) {
        const cell = row * this.columns + column;
        for (let at = this.starts[cell]; at < this.starts[cell + 1]; at += 1) {
          const i = this.members[at];
          const distance = (this.pixels[2 * i] - x) ** 2 + (this.pixels[2 * i + 1] - y) ** 2;
          if (distance <= least && accept(i)) {
            least = distance;
            best = i;
          }
        }
      }
    }
    return best;
  }
}

// Whether a position is inside a closed path of [x, y], by the even-odd rule.
function isInside(path, x, y) {
  let inside = false;
  for (let i = 0, j = path.length - 1; i < path.length; j = i, i += 1) {
    const [[xi, yi], [xj, yj]] = [path[i], path[j]];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) {
      inside = !inside;
    }
  }
  return inside;
}

// The numbers 0, 1, ..., n - 1 in an order that looks random but is always the same. If the points of
// a sorted file were drawn in its order, the last label would cover all others.
function shuffled(n) {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  let state = 1;
  for (let i = n - 1; i > 0; i -= 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
