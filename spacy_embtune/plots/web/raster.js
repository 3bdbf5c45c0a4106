// Puts marks into the pixels of a picture by hand. With one drawImage a point, 20,000 points took 60
// ms a frame where no graphics card helps; so they keep up with a screen of 60 frames a second.

// How much a point matters: what a mark looks like depends on it.
const FAINT = 1;
const PLAIN = 2;
const RINGED = 3;

// A mark as the pixels to be blended into others: where, with the colour already multiplied by its
// opacity (red and blue in one number, green in another), and what is left of what lies below.
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
    // 256ths, so that a shift divides.
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
    // Red is the lowest byte: every browser runs on little-endian machines.
    this.pixels = new Uint32Array(this.image.data.buffer);
  }

  // colour: "#rrggbb".
  clear(colour) {
    const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
    this.pixels.fill((0xff000000 | (blue << 16) | (green << 8) | red) >>> 0);
  }

  // The stamp with its middle at (x, y), in pixels of the picture.
  add(stamp, x, y) {
    const { pixels, width, height } = this;
    const { size, xs, ys, rests, redBlues, greens } = stamp;
    // Whole pixels: sharp.
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
