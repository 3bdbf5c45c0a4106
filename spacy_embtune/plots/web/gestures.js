// Handle pointers and keys in the plot. The handlers in `on` are called: hover(i), pick(i) and
// lasso(documents, how), where how is "replace", "add" or "remove".

const CLICK = 4; // how many pixels a pointer may move during a click
const REACH = { mouse: 14, pen: 18, touch: 26 }; // how far from a pointer a point may be, in pixels
const STEP = 60; // how many pixels an arrow key moves the plot

class Gestures {
  constructor(plot, mode, on) {
    this.plot = plot;
    this.mode = mode; // () => "select" or "move"
    this.on = on;
    this.pointers = new Map();
    this.drag = null;
    const { canvas } = plot;
    const listen = (type, handler, options) => canvas.addEventListener(type, handler, options);
    listen("pointerdown", (event) => this.down(event));
    listen("pointermove", (event) => this.moved(event));
    listen("pointerup", (event) => this.up(event));
    listen("pointercancel", (event) => this.drop(event));
    listen("pointerleave", (event) => this.left(event));
    listen("wheel", (event) => this.wheel(event), { passive: false });
    listen("keydown", (event) => this.key(event));
  }

  place(event) {
    const box = this.plot.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  hit(event) {
    return this.plot.at(...this.place(event), REACH[event.pointerType] ?? REACH.mouse);
  }

  down(event) {
    if (event.pointerType === "mouse" && event.button > 1) {
      return;
    }
    // The middle button would scroll the page.
    if (event.button === 1) {
      event.preventDefault();
    }
    this.plot.canvas.setPointerCapture(event.pointerId);
    const place = this.place(event);
    this.pointers.set(event.pointerId, place);
    if (this.pointers.size > 1) {
      this.cancel();
      return;
    }
    const swapped = event.shiftKey !== (this.mode() === "move");
    const kind = event.button === 1 || swapped ? "move" : "select";
    this.drag = { kind, path: [place], far: false };
  }

  moved(event) {
    const place = this.place(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      this.on.hover(this.hit(event));
      return;
    }
    if (this.pointers.size > 1) {
      this.pinch(event.pointerId, before, place);
    }
    this.pointers.set(event.pointerId, place);
    const { drag, plot } = this;
    if (!drag) {
      return;
    }
    const [start] = drag.path;
    drag.far ||= Math.hypot(place[0] - start[0], place[1] - start[1]) > CLICK;
    if (!drag.far) {
      return;
    }
    this.on.hover(-1);
    if (drag.kind === "move") {
      plot.pan(place[0] - before[0], place[1] - before[1]);
    } else {
      // The loop includes the positions between two events.
      const events = event.getCoalescedEvents?.() ?? [];
      drag.path.push(...(events.length ? events.map((part) => this.place(part)) : [place]));
      plot.path = drag.path;
      plot.invalidate(false);
    }
  }

  // With two fingers, the points under the fingers stay under them.
  pinch(id, before, place) {
    const [other] = [...this.pointers].filter(([key]) => key !== id).map(([, value]) => value);
    const distance = ([x, y]) => Math.hypot(x - other[0], y - other[1]);
    const middle = ([x, y]) => [(x + other[0]) / 2, (y + other[1]) / 2];
    const [from, to] = [middle(before), middle(place)];
    this.plot.pan(to[0] - from[0], to[1] - from[1]);
    this.plot.zoom(Math.max(distance(place), 1) / Math.max(distance(before), 1), ...to);
  }

  up(event) {
    const { drag } = this;
    this.drop(event);
    if (!drag) {
      return;
    }
    if (!drag.far) {
      const i = this.hit(event);
      this.on.hover(i);
      if (i >= 0) {
        this.on.pick(i);
      }
    } else if (drag.kind === "select") {
      const how = event.altKey ? "remove" : event.ctrlKey || event.metaKey ? "add" : "replace";
      this.on.lasso(this.plot.inside(drag.path), how);
    }
  }

  drop(event) {
    this.pointers.delete(event.pointerId);
    this.cancel();
  }

  // Returns whether a loop was being drawn.
  cancel() {
    const drawing = this.plot.path !== null;
    this.drag = null;
    this.plot.path = null;
    this.plot.invalidate(false);
    return drawing;
  }

  left(event) {
    // A lifted finger also leaves the plot, but the point that it tapped stays shown.
    if (event.pointerType !== "touch") {
      this.on.hover(-1);
    }
  }

  wheel(event) {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 18 : 1);
    // A trackpad reports a pinch as small wheel steps with the control key.
    const factor = Math.exp(-pixels * (event.ctrlKey ? 0.01 : 0.0018));
    this.plot.zoom(Math.min(Math.max(factor, 0.5), 2), ...this.place(event));
    this.on.hover(this.hit(event));
  }

  key(event) {
    const arrow = {
      ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
    }[event.key];
    const { plot } = this;
    if (arrow && event.shiftKey) {
      plot.pan(-STEP * arrow[0], -STEP * arrow[1]);
    } else if (arrow) {
      const i = plot.next(...arrow);
      if (i >= 0) {
        plot.show(i);
        this.on.hover(i, true);
      }
    } else if ((event.key === "Enter" || event.key === " ") && plot.current >= 0) {
      this.on.pick(plot.current);
    } else {
      return;
    }
    event.preventDefault();
  }
}
