// Label what is selected, follow what the server learns, and show what to label next.

let state = null; // the latest state of the server
let learned = null; // what it has learned
let agreement = new Map(); // for each text of the selection, how similar it is to the others
let saving = Promise.resolve(); // actions are sent one after the other
let isChosen = false; // whether the person has chosen the colours
const upcoming = { n: 0, a: 0 }; // the suggestion and the list that a key selects next
let walk = null; // the key that selected texts, and these: when they are labelled, the next follow
let done = new Set(); // texts labelled since the suggestions were made
let lastGiven = null; // the texts of the last action, if it gave a label
let giving = Promise.resolve(); // a label is for what is selected when the labels before it are saved
const NOTHING = [];

// Take over a state of the server. Old ones, which arrive late, change nothing.
async function take(fresh) {
  if (fresh.learned && fresh.learned_version > (state?.learned_version ?? -1)) {
    Object.assign(fresh.learned, await fetchArrays());
  }
  const isNew = !state || fresh.version > state.version;
  const hasLearned = Boolean(fresh.learned) && fresh.learned_version > (state?.learned_version ?? -1);
  if (state && fresh.version < state.version) {
    return;
  }
  const wasLearning = state?.is_learning;
  state = { ...fresh, learned_version: Math.max(fresh.learned_version, state?.learned_version ?? 0) };
  if (hasLearned) {
    // What is learned comes twice: predictions, then positions.
    const isSame = JSON.stringify([learned?.suggestions, learned?.lists]) === JSON.stringify([fresh.learned.suggestions, fresh.learned.lists]);
    learned = fresh.learned;
    if (!isSame) {
      Object.assign(upcoming, { n: 0, a: 0 });
      done = state.is_learning ? done : new Set();
    }
  }
  if (isNew) {
    takeLabels();
  }
  if (hasLearned) {
    takeLearned();
  }
  if (isNew || hasLearned) {
    recolour();
    showButtons();
    showSuggestions();
  }
  if (isNew || hasLearned || wasLearning !== state.is_learning) {
    showProgress();
  }
  if (isNew || hasLearned) {
    fillTip(plot.current);
    showTuning();
  }
  if (hasLearned && walk?.waits && !selection.chosen.size) {
    KEYS[walk.key]({ shiftKey: walk.shiftKey });
  }
}

// What was learned of each text comes as bytes.
async function fetchArrays() {
  const response = await fetch(`${location.pathname}arrays`);
  if (!response.ok) {
    throw new Error("The positions did not arrive.");
  }
  const bytes = await response.arrayBuffer();
  const [, n] = new Int32Array(bytes, 0, 2);
  const confidence = new Uint8Array(bytes, 8 + 10 * n, n);
  return {
    xy: new Float32Array(bytes, 8, 2 * n),
    predicted: new Int16Array(bytes, 8 + 8 * n, n),
    confidence: Float32Array.from(confidence, (value) => value / 255),
  };
}

function takeLabels() {
  corpus.names = state.labels;
  corpus.nGiven = state.labels.length;
  corpus.patterns = [[]];
  corpus.known = new Uint32Array(corpus.n);
  corpus.values = new Array(corpus.n).fill(NOTHING);
  corpus.given = new Array(corpus.n).fill(NOTHING);
  const all = [...state.labels.keys()];
  const seen = new Map([["", 0]]);
  for (const [i, pairs] of state.cats) {
    const labels = pairs.filter((_, at) => at % 2 === 0);
    const carried = labels.filter((_, at) => pairs[2 * at + 1] === 1);
    const known = state.exclusive && carried.length ? all : labels;
    const key = known.join();
    if (!seen.has(key)) {
      seen.set(key, corpus.patterns.length);
      corpus.patterns.push(known);
    }
    corpus.known[i] = seen.get(key);
    corpus.values[i] = pairs;
    corpus.given[i] = carried;
  }
  selection.offer();
}

function takeLearned() {
  const { predicted, confidence, xy, predicts } = learned;
  const alone = corpus.names.map((_, j) => [j]);
  corpus.predictable = predicts ? [...new Set(predicted)].sort((a, b) => a - b) : [];
  corpus.predicted = predicts
    ? Array.from(predicted, (j) => alone[j] ?? NOTHING)
    : new Array(corpus.n).fill(NOTHING);
  corpus.probabilities = corpus.predicted.map(([j], i) => (predicts ? [j, confidence[i]] : NOTHING));
  corpus.confidence = predicts ? confidence : null;
  // Predictions come before new positions, and then the points stay where they are.
  if (xy.some((value, at) => value !== corpus.positions.tuned[at])) {
    plot.place("tuned", xy);
  }
}

// Keep the choice of colours, or show predictions once there are some.
function recolour() {
  const made = listColours();
  const wanted = !isChosen && corpus.predictable.length ? "Predicted label" : choice.text;
  const at = made.findIndex(({ text }) => text === wanted);
  const next = made[Math.max(at, 0)] ?? { kind: "plain", predicted: false, label: null };
  $("colouring").value = String(Math.max(at, 0));
  $("colouring").closest("section").hidden = !made.length;
  // The hidden colours are shown again, because other colours may have come.
  colour(next, next.text !== choice.text || legend.hidden.size > 0);
}

function showProgress() {
  const { n_labelled: n, is_learning: isLearning, error } = state;
  const share = (100 * n) / corpus.n;
  const percent = share > 0 && share < 10 ? share.toFixed(1) : Math.round(share);
  $("share").textContent = `${n.toLocaleString("en")} labelled · ${percent}\u00a0%`;
  $("bar").style.width = `${(100 * n) / corpus.n}%`;
  for (const [button, what] of [["undo", state.undo], ["redo", state.redo]]) {
    $(button).disabled = what === null;
    $(button).title = what === null ? "" : `${button === "undo" ? "Take back" : "Bring back"}: ${what}`;
  }
  $("accuracy").textContent = error ?? describeQuality();
  $("accuracy").classList.toggle("busy", isLearning);
  drawCurve(learned?.quality?.curve ?? []);
  const entries = state.history.map(({ text, is_undone: isUndone }) =>
    named("li", isUndone ? "undone" : "", text),
  );
  $("history").hidden = !entries.length;
  $("history-list").replaceChildren(...entries);
}

function percent(value) {
  return Math.round(100 * value);
}

function describeQuality() {
  const quality = learned?.quality;
  if (!learned?.predicts) {
    return "Predictions begin with two labels.";
  }
  if (learned.by_names) {
    return "Predictions come from the names of the labels.";
  }
  if (!quality) {
    return "How good predictions are is shown from 10 labelled texts on.";
  }
  const { share, low, high, n, map_at_r: map, gain, error, is_enough: isEnough } = quality;
  const parts = [
    `Predictions: ${percent(share)} % right (95 %: ${percent(low)}–${percent(high)}), measured out of fold on ${counted(n, "labelled text")}.`,
  ];
  if (map) {
    const [middle, from, to] = [map.share, map.low, map.high].map((v) => v.toFixed(2).slice(v < 1 ? 1 : 0));
    parts.push(`MAP@R ${middle} (${from}–${to}).`);
  }
  if (gain !== null) {
    const points = Math.round(100 * gain);
    const sign = points < 0 ? "−" : points > 0 ? "+" : "";
    parts.push(`The last doubling of labels: ${sign}${Math.abs(points)} points (standard error ${(100 * error).toFixed(1)}).`);
  }
  if (isEnough && state.counts.every((one) => one > 0)) {
    parts.push("More labels hardly pay.");
  }
  return parts.join(" ");
}

// Draw how the accuracy grows with the number of labels, with intervals of 95 %.
function drawCurve(points) {
  // An SVG element has no property `hidden`.
  $("curve").toggleAttribute("hidden", points.length < 2);
  if (points.length < 2) {
    return;
  }
  const [width, height, left, bottom] = [300, 74, 34, 16];
  const floor = Math.max(0, Math.min(...points.map((p) => p.low)) - 0.02);
  const logs = points.map((p) => Math.log2(p.n));
  const [from, to] = [logs[0], logs.at(-1)];
  const x = (at) => left + 8 + ((logs[at] - from) / (to - from)) * (width - left - 24);
  const y = (value) => 6 + ((1 - value) / (1 - floor)) * (height - bottom - 8);
  const parts = [1, floor].flatMap((value) => [
    shape("line", { class: "grid", x1: left, x2: width, y1: y(value), y2: y(value) }),
    shape("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, `${percent(value)} %`),
  ]);
  points.forEach((p, at) => {
    parts.push(shape("line", { class: "interval", x1: x(at), x2: x(at), y1: y(p.low), y2: y(p.high) }));
    parts.push(shape("circle", { cx: x(at), cy: y(p.share), r: 3 }));
    parts.push(shape("text", { x: x(at), y: height - 2, "text-anchor": "middle" }, p.n.toLocaleString("en")));
  });
  const path = points.map((p, at) => `${x(at)},${y(p.share)}`).join(" ");
  parts.unshift(shape("polyline", { points: path }));
  $("curve").replaceChildren(...parts);
  const said = points.map((p) => `${percent(p.share)} % with ${p.n}`).join(", ");
  $("curve").setAttribute("aria-label", `Share predicted right by number of labels: ${said}`);
}

function shape(tag, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, String(value)));
  element.textContent = text;
  return element;
}

function showButtons() {
  const buttons = state.labels.map((label, j) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "give";
    button.append(swatch(labelMark(j)), named("span", "name", label));
    button.append(named("span", "n", state.counts[j].toLocaleString("en")));
    if (j < 9) {
      button.append(named("kbd", "", String(j + 1)));
    }
    button.addEventListener("click", () => give(label, $("deny").checked));
    return button;
  });
  $("give").replaceChildren(...buttons);
}

function showSuggestions() {
  const items = (learned?.suggestions ?? []).map((one) => {
    if (!one.others.length) {
      return textItem(one.row, one.reason);
    }
    const many = named("button", "many", `Select it with ${one.others.length} like it`);
    many.type = "button";
    many.addEventListener("click", () => selectRows(rowsOfSuggestion(one, true), one.row));
    return textItem(one.row, one.reason, [many]);
  });
  const buttons = (learned?.lists ?? []).map(({ label, rows }) => {
    const button = named("button", "give", "");
    button.type = "button";
    const name = named("span", "name", label);
    button.append(swatch(labelMark(state.labels.indexOf(label))), name, named("span", "n", String(rows.length)));
    button.setAttribute("aria-label", `Select ${rows.length} texts that look like ${label}`);
    button.addEventListener("click", () => selectRows(rows, rows[0]));
    return button;
  });
  $("lists").hidden = !buttons.length;
  $("lists").replaceChildren(...$("lists").querySelectorAll("h3, p"), ...buttons);
  $("suggested").hidden = !items.length;
  $("suggestions").replaceChildren(...items);
}

// Near duplicates are labelled at once with the text; with `many`, all texts like it.
function rowsOfSuggestion({ row, others, n_copies: nCopies }, many) {
  return [row, ...(many ? others : others.slice(0, nCopies))];
}

// Show a message about saving. It stays until the next one.
function tell(text, isBad) {
  $("saved").textContent = text;
  $("saved").hidden = false;
  $("saved").classList.toggle("bad", isBad);
}

// Send an action. The selection is cleared once the action is saved.
function act(action, message) {
  saving = saving.then(async () => {
    try {
      await take(await ask("act", { ...action, learned: state.learned_version }));
      tell(message, false);
      return true;
    } catch (error) {
      tell(`Not saved. ${error.message}`, true);
      return false;
    }
  });
  return saving;
}

function give(label, isDenied) {
  giving = giving.then(() => giveNow(label, isDenied));
  return giving;
}

async function giveNow(label, isDenied) {
  const rows = [...selection.chosen].sort((a, b) => a - b);
  const name = label.trim();
  if (!name || !rows.length) {
    tell(rows.length ? "Type the name of a label." : "Select texts first.", true);
    return;
  }
  const message = `Saved: ${isDenied ? "not " : ""}${name} for ${counted(rows.length, "text")}`;
  if (await act({ do: isDenied ? "deny" : "give", label: name, rows }, message)) {
    $("label").value = "";
    $("deny").checked = false;
    $("label").blur();
    lastGiven = rows;
    rows.forEach((i) => done.add(i));
    if (rows.length !== selection.chosen.size || !rows.every((i) => selection.chosen.has(i))) {
      return; // the person goes on already
    }
    selection.set([]);
    point(-1);
    if (walk && rows.every((i) => walk.rows.has(i))) {
      const { key, shiftKey } = walk;
      KEYS[key]({ shiftKey });
      walk ??= { key, shiftKey, rows: new Set(), waits: true };
    }
  }
}

// Select the next item that a key offers, as far as its texts are not labelled yet.
function step(key, items, rowsOf, shiftKey = false) {
  walk = null;
  for (let tries = 0; tries < items.length; tries += 1) {
    const rows = rowsOf(items[upcoming[key] % items.length]).filter((i) => !done.has(i));
    upcoming[key] += 1;
    if (rows.some((i) => !selection.chosen.has(i))) {
      selection.set(rows);
      plot.show(rows[0]);
      point(rows.length > 1 ? -1 : rows[0]);
      walk = { key, shiftKey, rows: new Set(rows) };
      return;
    }
  }
}

// What the undone action had labelled is selected again, for the right label.
async function takeBack() {
  if (state.undo === null) {
    return;
  }
  const rows = lastGiven ?? [];
  lastGiven = null;
  if (await act({ do: "undo" }, `Undone: ${state.undo}`)) {
    rows.forEach((i) => done.delete(i));
    selection.set(rows);
    point(-1);
    walk = walk && rows.length ? { ...walk, rows: new Set(rows), waits: false } : null;
  }
}

async function bringBack() {
  if (state.redo === null) {
    return;
  }
  lastGiven = null;
  if (await act({ do: "redo" }, `Done again: ${state.redo}`)) {
    selection.set([]);
    walk = null;
  }
}

// Sort the list of the selection: the texts that are least like the others come first.
async function compare() {
  const rows = [...selection.chosen];
  $("odd").hidden = rows.length < 3;
  $("drop").hidden = rows.length < 3;
  if (rows.length < 3 || rows.every((i) => agreement.has(i))) {
    return;
  }
  try {
    const found = await ask("agreement", { rows });
    if (rows.length === selection.chosen.size && rows.every((i) => selection.chosen.has(i))) {
      agreement = new Map(rows.map((i, at) => [i, found[at]]));
      selection.build();
    }
  } catch (error) {
    tell(error.message, true);
  }
}

// Ask for news until the page is closed.
async function follow() {
  let isLost = false;
  for (;;) {
    try {
      const { version, learned_version: since } = state;
      const next = await ask(`state?version=${version}&learned=${since}`);
      while (gestures.pointers.size) {
        await pause(50); // points do not move while a loop is drawn around them
      }
      await take(next);
      if (isLost) {
        isLost = false;
        tell("Connected again", false);
      }
    } catch {
      isLost = true;
      tell("There is no connection. If the program was stopped, start it again and open its new address.", true);
      await pause(RETRY_MS);
    }
  }
}

function labelKey(event) {
  const typing = event.target.matches("input:not([type=radio], [type=checkbox]), select");
  if (typing || event.repeat || $("help").open) {
    return;
  }
  const command = (event.ctrlKey || event.metaKey) && !event.altKey;
  const letter = event.key.toLowerCase();
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1];
  if (command && (letter === "y" || (letter === "z" && event.shiftKey))) {
    bringBack();
  } else if (command && letter === "z") {
    takeBack();
  } else if (command || event.altKey || event.metaKey) {
    return;
  } else if (digit && state.labels.length >= Number(digit)) {
    give(state.labels[Number(digit) - 1], event.shiftKey || $("deny").checked);
  } else {
    return;
  }
  event.preventDefault();
}

Object.assign(KEYS, {
  x: ({ shiftKey } = {}) => {
    if (shiftKey && selection.chosen.has(plot.current)) {
      selection.removeDownTo(plot.current);
    } else if (selection.chosen.size > 1) {
      selection.change(selection.order([...selection.chosen]).slice(0, 1), "remove");
    }
  },
  n: ({ shiftKey } = {}) => {
    const rowsOf = (one) => (done.has(one.row) ? [] : rowsOfSuggestion(one, shiftKey));
    step("n", learned?.suggestions ?? [], rowsOf, shiftKey);
  },
  l: () => {
    if (selection.chosen.size) {
      $("label").select();
    }
  },
  a: () => {
    step("a", learned?.lists ?? [], ({ rows }) => rows);
  },
  g: addNeighbours,
  c: toggleNames,
  w: () => searchBy("words"),
  d: () => searchBy("meaning"),
});

function searchBy(what) {
  document.querySelector(`input[name=by][value=${what}]`).checked = true;
  searchNow();
  $("query").focus();
}

const changed = selection.on.changed;
selection.on.changed = () => {
  changed();
  compare();
};
selection.act = (label) => give(label, $("deny").checked);
selection.order = (documents) =>
  documents.every((i) => agreement.has(i))
    ? documents.sort((i, j) => agreement.get(i) - agreement.get(j))
    : documents;
selection.describe = (i) => {
  const [given, predicted] = [corpus.given[i], corpus.predicted[i]];
  if (!predicted.length || given.includes(predicted[0])) {
    return corpus.givenText(i);
  }
  const text = `predicted ${corpus.predictedText(i)}`;
  return given.length ? `${corpus.givenText(i)}, ${text}` : text;
};
$("colouring").addEventListener("change", () => {
  isChosen = true;
});
$("drop").addEventListener("click", () => KEYS.x());
$("undo").addEventListener("click", takeBack);
$("redo").addEventListener("click", bringBack);
document.addEventListener("keydown", labelKey);
$("label").addEventListener("keydown", ({ key }) => {
  if (key === "Escape") {
    $("label").value = ""; // otherwise it would begin the next label
  }
});
darkScheme.addEventListener("change", () => {
  showButtons();
  showSuggestions();
});
switchTo("tuned");
begin();

async function begin() {
  for (;;) {
    try {
      await take(content.state);
      break;
    } catch {
      await pause(RETRY_MS);
    }
  }
  follow();
  loadClusters();
}
