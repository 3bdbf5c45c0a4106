// The legend: the meaning of the colours, and buttons to show or hide them.

// Group documents by a choice of colours. The result holds a column for each document and, for each
// column, a mark, its level (higher levels are drawn later) and an entry with a name and the number
// of documents. Without entries, nothing can be shown or hidden.
function coloured(corpus, choice) {
  if (choice.kind === "plain") {
    return { marks: [labelMark(0)], levels: [0], columns: new Int16Array(corpus.n), entries: [] };
  }
  if (choice.kind === "confidence") {
    return byValue(corpus, (i) => corpus.confidence[i]);
  }
  const { predicted, label } = choice;
  return label === null
    ? byLabel(corpus, choice)
    : byValue(corpus, (i) => corpus.value(i, label, predicted));
}

function byLabel(corpus, { predicted }) {
  const categories = Array.from({ length: corpus.n }, (_, i) => corpus.category(i, predicted));
  const counts = new Map();
  for (const category of categories) {
    counts.set(category, (counts.get(category) ?? 0) + 1);
  }
  const shown = [...corpus.names.keys(), NONE, UNKNOWN].filter((c) => counts.has(c));
  const column = new Map(shown.map((category, at) => [category, at]));
  return {
    // With a single label, its absence has a colour as well.
    marks: shown.map((c) => labelMark(c === NONE && corpus.names.length === 1 ? 1 : c)),
    levels: shown.map((category) => (category < 0 ? 0 : 1)),
    columns: Int16Array.from(categories, (category) => column.get(category)),
    entries: shown.map((category) => ({
      name: corpus.categoryName(category, predicted),
      n: counts.get(category),
    })),
  };
}

// valueOf: returns the value of a document, 0..1; NaN if it is not known.
function byValue(corpus, valueOf) {
  const columns = Int16Array.from({ length: corpus.n }, (_, i) => {
    const value = valueOf(i);
    return Number.isNaN(value) ? RAMP_STEPS : Math.round(value * (RAMP_STEPS - 1));
  });
  const steps = Array.from({ length: RAMP_STEPS }, (_, step) => valueMark(step));
  const levels = [...steps.keys(), -1];
  return { marks: [...steps, valueMark(UNKNOWN)], levels, columns, entries: [] };
}

class Legend {
  constructor(root, showAll, changed) {
    this.root = root;
    this.showAll = showAll;
    this.changed = changed;
    this.hidden = new Set(); // columns
    this.buttons = [];
    showAll.addEventListener("click", () => this.only(null));
  }

  // After another choice of colours, all documents are shown again.
  reset(made) {
    this.hidden.clear();
    this.build(made);
  }

  build({ marks, columns, entries }) {
    this.buttons = [];
    if (entries.length) {
      const list = document.createElement("ul");
      list.append(...entries.map((entry, at) => this.entry(entry, marks[at], at)));
      this.root.replaceChildren(list);
    } else {
      this.root.replaceChildren(...ramp(columns));
    }
    this.update();
  }

  entry({ name, n }, mark, at) {
    const item = document.createElement("li");
    const toggle = document.createElement("button");
    toggle.type = "button";
    toggle.className = "entry";
    toggle.title = "Show or hide";
    toggle.append(swatch(mark), named("span", "name", name), named("span", "n", n.toLocaleString("en")));
    toggle.addEventListener("click", () => this.toggle(at));
    const only = named("button", "only", "only");
    only.type = "button";
    only.setAttribute("aria-label", `Show only ${name}`);
    only.addEventListener("click", () => this.only(at));
    this.buttons.push(toggle);
    item.append(toggle, only);
    return item;
  }

  toggle(at) {
    if (!this.hidden.delete(at)) {
      this.hidden.add(at);
    }
    this.update();
    this.changed();
  }

  // Show only one column. Show all columns if only this one is shown, or if none is given.
  only(at) {
    const others = [...this.buttons.keys()].filter((other) => other !== at);
    const alone = !this.hidden.has(at) && others.every((other) => this.hidden.has(other));
    this.hidden = new Set(at === null || alone ? [] : others);
    this.update();
    this.changed();
  }

  update() {
    this.buttons.forEach((button, at) => {
      button.setAttribute("aria-pressed", String(!this.hidden.has(at)));
    });
    this.showAll.hidden = this.hidden.size === 0;
  }
}

// A scale of the colours of values from 0 to 1.
function ramp(columns) {
  const bar = document.createElement("div");
  bar.className = "ramp";
  const stops = Array.from({ length: RAMP_STEPS }, (_, step) => valueMark(step).colour);
  const colours = document.createElement("span");
  colours.className = "colours";
  colours.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  bar.append(named("span", "n", "0"), colours, named("span", "n", "1"));
  const nUnknown = columns.reduce((sum, column) => sum + (column === RAMP_STEPS), 0);
  if (!nUnknown) {
    return [bar];
  }
  const unknown = named("p", "unknown", `unknown ${nUnknown.toLocaleString("en")}`);
  unknown.prepend(swatch(valueMark(UNKNOWN)));
  return [bar, unknown];
}

// An element with a class and a text. The text may hold any characters.
function named(tag, className, text) {
  const element = document.createElement(tag);
  element.className = className;
  element.dir = "auto";
  element.textContent = text;
  return element;
}
