// The canvas: draw the points, move them between base and tuned positions, zoom and pan.

const SWITCH_MS = 650;
const SCALES = [0.5, 80]; // the smallest and the largest zoom
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
// With more documents, points in the same place are drawn a few times only. Zooming shows all of them.
const CROWDED = 20_000;

class Plot {
  constructor(canvas, corpus) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false, willReadFrequently: true });
    this.corpus = corpus;
    this.space = "base";
    this.mixed = shuffled(corpus.n);
    this.order = this.mixed; // points drawn later lie above
    this.marks = [];
    this.stamps = new Map(); // the marks of each state
    this.stale = true; // whether the points have changed since they were last drawn
    this.levels = []; // of each mark: those of a higher level are drawn later
    this.columns = new Int16Array(corpus.n); // the mark of each document, as an index
    this.states = new Uint8Array(corpus.n); // 0 (hidden), FAINT, PLAIN or RINGED
    this.current = -1; // the document under the pointer or the keyboard's cursor
    this.view = { scale: 1, x: 0, y: 0 };
    this.path = null; // the loop that is being drawn
    this.move = null; // the transition in progress
    this.moved = () => {}; // called when the points have moved on the screen
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
    this.resize();
  }

  resize() {
    const { canvas, corpus } = this;
    this.ratio = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.floor(canvas.parentElement.clientWidth * this.ratio));
    canvas.height = Math.max(1, Math.floor(canvas.parentElement.clientHeight * this.ratio));
    // The CSS size equals the pixels exactly, because any scaling would blur the canvas.
    [this.width, this.height] = [canvas.width / this.ratio, canvas.height / this.ratio];
    [canvas.style.width, canvas.style.height] = [`${this.width}px`, `${this.height}px`];
    this.fits = {
      base: fitted(corpus.positions.base, this.width, this.height),
      tuned: fitted(corpus.positions.tuned, this.width, this.height),
    };
    this.raster = new Raster(canvas.width, canvas.height);
    this.arrive();
    this.stale = true;
    this.draw();
  }

  arrive() {
    this.move = null;
    this.pixels = this.fits[this.space];
    this.grid = new Grid(this.pixels, this.width, this.height);
    this.moved();
  }

  colour({ marks, levels, columns }) {
    this.marks = marks;
    this.levels = levels;
    this.columns = columns;
    this.order = this.mixed.slice().sort((i, j) => levels[columns[i]] - levels[columns[j]]);
    this.invalidate();
  }

  switchTo(space) {
    if (space === this.space) {
      return;
    }
    const from = this.pixels.slice();
    this.space = space;
    this.depart(from);
  }

  // Replace the positions of a space. If it is shown, the points move to their new places.
  place(space, positions) {
    const from = this.pixels.slice();
    this.corpus.positions[space] = positions;
    this.fits[space] = fitted(positions, this.width, this.height);
    if (space === this.space) {
      this.depart(from);
    }
  }

  // Move the points from where they are to their places in the space that is shown.
  depart(from) {
    if (stillness.matches) {
      this.arrive();
    } else {
      this.move = { from, start: performance.now() };
      this.pixels = from.slice();
      this.moved();
    }
    this.invalidate();
  }

  // The positions during a transition. It is slow at the start and at the end.
  advance(now) {
    const time = (now - this.move.start) / SWITCH_MS;
    if (time >= 1) {
      this.arrive();
      return;
    }
    const share = time < 0.5 ? 4 * Math.max(time, 0) ** 3 : 1 - (2 - 2 * time) ** 3 / 2;
    const { from } = this.move;
    const to = this.fits[this.space];
    for (let at = 0; at < from.length; at += 1) {
      this.pixels[at] = from[at] + share * (to[at] - from[at]);
    }
    this.invalidate(false);
  }

  // Draw in the next frame: all points again, or only the layers above them.
  invalidate(stale = true) {
    this.stale ||= stale;
    this.frame ??= requestAnimationFrame((now) => {
      this.frame = undefined;
      if (this.move) {
        this.stale = true;
        this.advance(now);
      }
      this.draw();
    });
  }

  // The size of points: smaller if there are many, and a little larger when zoomed in.
  radius() {
    const crowd = Math.min(5.5, 5.5 * (400 / Math.max(this.corpus.n, 1)) ** 0.2);
    const room = Math.min(1, Math.max(this.width / 700, 0.75));
    const size = Math.max(2.3, crowd * room) * Math.min(2.2, Math.max(1, this.view.scale ** 0.35));
    return Math.round(4 * size) / 4;
  }

  draw() {
    if (this.ratio !== (window.devicePixelRatio || 1)) {
      this.resize(); // the window moved to another screen; resize draws
      return;
    }
    const { context, ratio } = this;
    const radius = this.radius();
    if (this.stale) {
      this.drawPoints(radius);
    }
    context.putImageData(this.raster.image, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawCurrent(radius);
    this.drawPath();
  }

  drawPoints(radius) {
    const { raster, ratio, view, pixels } = this;
    // Draw in the order of states, so that faint points do not cover others.
    const stamps = [FAINT, PLAIN, RINGED].map((state) => this.stampsOf(state, radius));
    raster.clear(scheme().background);
    [FAINT, PLAIN, RINGED].forEach((state, at) => {
      const crowd = state !== RINGED && this.corpus.n > CROWDED ? new Crowd(raster) : null;
      let level = NaN;
      for (const i of this.order) {
        if (this.states[i] === state) {
          if (level !== this.levels[this.columns[i]]) {
            level = this.levels[this.columns[i]];
            crowd?.clear(); // points of a higher level are above the others, and are always seen
          }
          const x = (pixels[2 * i] * view.scale + view.x) * ratio;
          const y = (pixels[2 * i + 1] * view.scale + view.y) * ratio;
          if (!crowd || crowd.hasRoom(x, y)) {
            raster.add(stamps[at][this.columns[i]], x, y);
          }
        }
      }
    });
    this.stale = false;
  }

  // The marks of a state, made when they are first needed.
  stampsOf(state, radius) {
    const key = `${radius} ${this.ratio} ${darkScheme.matches}`;
    const made = this.stamps.get(state);
    if (made?.key === key && made.marks === this.marks) {
      return made.stamps;
    }
    const stamps = this.marks.map((mark) => new Stamp(mark, state, radius, this.ratio));
    this.stamps.set(state, { key, marks: this.marks, stamps });
    return stamps;
  }

  // Draw the current document above all others, with a ring around it.
  drawCurrent(radius) {
    if (this.current < 0 || !this.states[this.current]) {
      return;
    }
    const { context } = this;
    const [x, y] = this.screen(this.current);
    context.save();
    context.translate(x, y);
    for (const [width, colour] of [[5, scheme().background], [2, scheme().ring]]) {
      context.beginPath();
      context.arc(0, 0, radius + 4, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.stroke();
    }
    context.scale(radius, radius);
    Stamp.paint(context, this.marks[this.columns[this.current]], PLAIN, radius);
    context.restore();
  }

  drawPath() {
    if (!this.path) {
      return;
    }
    const { context } = this;
    context.beginPath();
    this.path.forEach(([x, y]) => context.lineTo(x, y));
    context.closePath();
    context.fillStyle = scheme().lassoFill;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = scheme().lasso;
    context.setLineDash([5, 4]);
    context.stroke();
    context.setLineDash([]);
  }

  // The position of a document in the plot, in CSS pixels.
  screen(i) {
    const { scale, x, y } = this.view;
    return [this.pixels[2 * i] * scale + x, this.pixels[2 * i + 1] * scale + y];
  }

  // The nearest visible document, or -1. It is -1 while the points are moving.
  at(x, y, reach) {
    if (this.move) {
      return -1;
    }
    const { view } = this;
    return this.grid.nearest(
      (x - view.x) / view.scale,
      (y - view.y) / view.scale,
      reach / view.scale,
      (i) => this.states[i] > 0,
    );
  }

  // The visible documents inside a path.
  inside(path) {
    const xs = path.map(([x]) => x);
    const ys = path.map(([, y]) => y);
    const [left, right] = [Math.min(...xs), Math.max(...xs)];
    const [top, bottom] = [Math.min(...ys), Math.max(...ys)];
    const found = [];
    for (let i = 0; i < this.corpus.n; i += 1) {
      const [x, y] = this.screen(i);
      const near = x >= left && x <= right && y >= top && y <= bottom;
      if (near && this.states[i] && isInside(path, x, y)) {
        found.push(i);
      }
    }
    return found;
  }

  // The nearest document in a direction (dx, dy), or -1. Without a start: nearest to the middle.
  next(dx, dy) {
    const start = this.current >= 0 && this.states[this.current] > 0;
    const [x, y] = start ? this.screen(this.current) : [this.width / 2, this.height / 2];
    let best = -1;
    let least = Infinity;
    for (let i = 0; i < this.corpus.n; i += 1) {
      if (!this.states[i] || (start && i === this.current)) {
        continue;
      }
      const [px, py] = this.screen(i);
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      // Points at the same position are ordered by their number, so that keys can reach all of them.
      const ahead = along > 0 || (along === 0 && across === 0 && (i > this.current) === dx + dy > 0);
      const distance = Math.abs(along) + 2 * across;
      if ((!start || (ahead && across <= along)) && distance < least) {
        least = distance;
        best = i;
      }
    }
    return best;
  }

  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const { view } = this;
    const scale = Math.min(Math.max(view.scale * factor, SCALES[0]), SCALES[1]);
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    this.moved();
    this.invalidate();
  }

  pan(dx, dy) {
    this.view.x += dx;
    this.view.y += dy;
    this.moved();
    this.invalidate();
  }

  // Move the plot so that a document is visible.
  show(i) {
    const [x, y] = this.screen(i);
    if (x < MARGIN || y < MARGIN || x > this.width - MARGIN || y > this.height - MARGIN) {
      this.pan(this.width / 2 - x, this.height / 2 - y);
    }
  }

  fit() {
    this.view = { scale: 1, x: 0, y: 0 };
    this.moved();
    this.invalidate();
  }
}
