// Label what is selected, follow what the server learns, and show what to label next.

let state = null; // the latest state of the server
let learned = null; // what it has learned
let agreement = new Map(); // for each text of the selection, how similar it is to the others
let saving = Promise.resolve(); // actions are sent one after the other
let isChosen = false; // whether the person has chosen the colours

// Take over a state of the server. Old ones, which arrive late, change nothing.
function take(next) {
  const isNew = !state || next.version > state.version;
  const hasLearned = Boolean(next.learned) && next.learned_version > (state?.learned_version ?? -1);
  if (state && next.version < state.version) {
    return;
  }
  const wasLearning = state?.is_learning;
  state = { ...next, learned_version: Math.max(next.learned_version, state?.learned_version ?? 0) };
  if (hasLearned) {
    learned = next.learned;
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
}

function takeLabels() {
  corpus.names = state.labels;
  corpus.nGiven = state.labels.length;
  corpus.patterns = [[]];
  corpus.known = new Uint32Array(corpus.n);
  corpus.values = Array.from({ length: corpus.n }, () => []);
  corpus.given = Array.from({ length: corpus.n }, () => []);
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
  const { predicted, confidence, xy } = learned;
  const some = predicted.length > 0;
  corpus.predictable = some ? [...new Set(predicted)].sort((a, b) => a - b) : [];
  corpus.predicted = Array.from({ length: corpus.n }, (_, i) => (some ? [predicted[i]] : []));
  corpus.probabilities = corpus.predicted.map(([j], i) => (some ? [j, confidence[i]] : []));
  corpus.confidence = some ? confidence : null;
  // Predictions come before new positions, and then the points stay where they are.
  if (xy.some((value, at) => value !== corpus.positions.tuned[at])) {
    plot.place("tuned", Float32Array.from(xy));
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
  $("accuracy").textContent = error ?? describeAccuracy();
  $("accuracy").classList.toggle("busy", isLearning);
}

function describeAccuracy() {
  const found = learned?.accuracy;
  if (!learned?.predicted.length) {
    return "Predictions begin with two labels.";
  }
  if (!found) {
    return "How good predictions are is shown from 10 labelled texts on.";
  }
  const [share, low, high] = [found.share, found.low, found.high].map((v) => Math.round(100 * v));
  return `Predictions: ${share} % right (95 %: ${low}–${high}), measured out of fold on ${counted(found.n, "labelled text")}.`;
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
  const items = (learned?.suggestions ?? []).map(({ row, reason }) => {
    const item = document.createElement("li");
    const button = named("button", "text", startOf(corpus.texts[row], 300));
    button.type = "button";
    button.title = "Select it";
    button.addEventListener("click", () => selectSuggestion(row));
    item.addEventListener("pointerenter", () => point(row));
    item.addEventListener("pointerleave", () => point(-1));
    item.append(button, named("p", "facts", reason));
    return item;
  });
  $("suggested").hidden = !items.length;
  $("suggestions").replaceChildren(...items);
}

function selectSuggestion(row) {
  selection.set([row]);
  plot.show(row);
  point(row);
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
      take(await ask("act", { ...action, learned: state.learned_version }));
      tell(message, false);
      return true;
    } catch (error) {
      tell(`Not saved. ${error.message}`, true);
      return false;
    }
  });
  return saving;
}

async function give(label, isDenied) {
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
    selection.set([]);
  }
}

function takeBack() {
  if (state.undo !== null) {
    act({ do: "undo" }, `Undone: ${state.undo}`);
  }
}

function bringBack() {
  if (state.redo !== null) {
    act({ do: "redo" }, `Done again: ${state.redo}`);
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
      take(next);
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
  if (typing || $("help").open) {
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
  x: () => {
    if (selection.chosen.size > 1) {
      selection.change(selection.order([...selection.chosen]).slice(0, 1), "remove");
    }
  },
  n: () => {
    const [next] = (learned?.suggestions ?? []).filter(({ row }) => !selection.chosen.has(row));
    if (next) {
      selectSuggestion(next.row);
    }
  },
  l: () => {
    if (selection.chosen.size) {
      $("label").focus();
    }
  },
});
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
$("drop").addEventListener("click", KEYS.x);
$("undo").addEventListener("click", takeBack);
$("redo").addEventListener("click", bringBack);
document.addEventListener("keydown", labelKey);
switchTo("tuned");
take(JSON.parse($("data").textContent).state);
follow();
