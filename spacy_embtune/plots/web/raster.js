// Write marks into the pixels of an image directly. One drawImage call per point took 60 ms per frame
// for 20,000 points without a graphics card. Direct writing is fast enough for 60 frames per second.

// The states of a point. The look of its mark depends on the state.
const FAINT = 1;
const PLAIN = 2;
const RINGED = 3;

// The side of a place in pixels, and how many points are drawn there.
const CELL = 2;
const MOST_IN_CELL = 2;

// A mark as pixels to blend into an image: their positions, their colours multiplied by opacity (red
// and blue in one number, green in another), and the share of the image that stays visible.
class Stamp {
  constructor(mark, state, radius, ratio) {
    const size = 2 * Math.ceil(radius * ratio * 1.35 + 2 * ratio) + 1;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [size, size];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const unit = radius * ratio;
    context.setTransform(unit, 0, 0, unit, size / 2, size / 2);
    Stamp.paint(context, mark, state, radius);
    const { data } = context.getImageData(0, 0, size, size);
    this.size = size;
    const seen = [...Array(size * size).keys()].filter((at) => data[4 * at + 3] > 0);
    this.xs = Int32Array.from(seen, (at) => at % size);
    this.ys = Int32Array.from(seen, (at) => Math.floor(at / size));
    // Opacity in 1/256, so that a shift can divide.
    const opacity = (at) => Math.round((data[4 * at + 3] * 256) / 255);
    this.rests = Int32Array.from(seen, (at) => 256 - opacity(at));
    this.redBlues = Int32Array.from(seen, (at) =>
      Math.imul(data[4 * at] | (data[4 * at + 2] << 16), opacity(at)),
    );
    this.greens = Int32Array.from(seen, (at) => Math.imul(data[4 * at + 1] << 8, opacity(at)));
  }

  static paint(context, mark, state, radius) {
    const colours = scheme();
    const path = new Path2D(mark.shape);
    context.globalAlpha = { [FAINT]: 0.22, [PLAIN]: 0.9, [RINGED]: 1 }[state];
    if (state !== FAINT) {
      context.lineWidth = (state === RINGED ? 3.2 : 1) / radius;
      context.strokeStyle = state === RINGED ? colours.ring : colours.background;
      context.stroke(path);
    }
    context.fillStyle = mark.hollow ? colours.background : mark.colour;
    context.fill(path);
    if (mark.hollow) {
      context.lineWidth = 1.4 / radius;
      context.strokeStyle = mark.colour;
      context.stroke(path);
    }
  }
}

class Raster {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.image = new ImageData(width, height);
    // Red is the lowest byte, because all browsers run on little-endian machines.
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  // Fill the image with a colour, "#rrggbb".
  clear(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    this.pixels.fill((0xff000000 | (blue << 16) | (green << 8) | red) >>> 0);
  }

  // Blend a stamp with its centre at (x, y), in pixels of the image.
  add(stamp, x, y) {
    const { pixels, width, height } = this;
    const { size, xs, ys, rests, redBlues, greens } = stamp;
    // Rounded to whole pixels, which look sharp.
    const left = Math.round(x - size / 2);
    const top = Math.round(y - size / 2);
    if (left <= -size || top <= -size || left >= width || top >= height) {
      return;
    }
    const whole = left >= 0 && top >= 0 && left + size <= width && top + size <= height;
    for (let k = 0; k < xs.length; k += 1) {
      const px = left + xs[k];
      const py = top + ys[k];
      if (whole || (px >= 0 && py >= 0 && px < width && py < height)) {
        const at = py * width + px;
        const below = pixels[at];
        const rest = rests[k];
        const redBlue = (redBlues[k] + Math.imul(below & 0xff00ff, rest)) >>> 8;
        const green = (greens[k] + Math.imul(below & 0xff00, rest)) >>> 8;
        pixels[at] = 0xff000000 | (redBlue & 0xff00ff) | (green & 0xff00);
      }
    }
  }
}

// Counts the points at each place, so that those that nobody would see are not drawn. Points come in
// random order, so the colours that are drawn are in the proportions of all.
class Crowd {
  constructor({ width, height }) {
    this.columns = Math.ceil(width / CELL);
    this.rows = Math.ceil(height / CELL);
    this.counts = new Uint8Array(this.columns * this.rows);
  }

  clear() {
    this.counts.fill(0);
  }

  hasRoom(x, y) {
    const [column, row] = [Math.floor(x / CELL), Math.floor(y / CELL)];
    if (column < 0 || row < 0 || column >= this.columns || row >= this.rows) {
      return true; // a part of the point may be seen
    }
    const at = row * this.columns + column;
    this.counts[at] += this.counts[at] < MOST_IN_CELL + 1;
    return this.counts[at] <= MOST_IN_CELL;
  }
}
