// Connect the parts: a choice in one part is shown in the others.

const $ = (id) => document.getElementById(id);
const corpus = new Corpus(JSON.parse($("data").textContent));
const plot = new Plot($("plot"), corpus);
const legend = new Legend($("legend"), $("show-all"), () => refresh());
const selection = new Selection(
  corpus,
  {
    count: $("count"), hint: $("hint"), clear: $("clear"), actions: $("actions"),
    label: $("label"), labels: $("labels"), list: $("list"), more: $("more"),
  },
  {
    changed: () => {
      say($("count").textContent);
      refresh();
    },
    point: (i) => point(i),
    mark: (i) => plot.marks[plot.columns[i]],
  },
);
const gestures = new Gestures(plot, () => checked("mode"), {
  hover: (i, aloud) => {
    point(i);
    if (aloud) {
      say(`${startOf(corpus.text(i), 300)} – ${corpus.givenText(i)}`);
    }
  },
  pick: (i) => selection.change([i], "toggle"),
  lasso: (documents, how) => selection.change(documents, how),
});
let found = null; // for each document, whether it matches the search; null without a search
let choice = null;
let finder = (query) => corpus.search(query); // what the search does

function checked(name) {
  return document.querySelector(`input[name=${name}]:checked`).value;
}

// Announce a message to screen readers.
function say(text) {
  $("said").textContent = text;
}

// Compute the state of each document: hidden, faint, plain or ringed.
function refresh() {
  const { chosen } = selection;
  const all = !found && !chosen.size;
  for (let i = 0; i < corpus.n; i += 1) {
    if (legend.hidden.has(plot.columns[i])) {
      plot.states[i] = 0;
    } else if (found?.[i]) {
      plot.states[i] = RINGED;
    } else {
      plot.states[i] = all || chosen.has(i) ? PLAIN : FAINT;
    }
  }
  countFound();
  showTip();
  plot.invalidate();
}

function countFound() {
  const n = found ? found.filter(Boolean).length : 0;
  const seen = visibleFound().length;
  const text = seen === n ? "" : `, ${(n - seen).toLocaleString("en")} hidden`;
  $("found").textContent = found ? `${n.toLocaleString("en")} found${text}` : "";
  $("select-found").hidden = seen === 0;
}

function visibleFound() {
  return found ? [...found.keys()].filter((i) => found[i] && plot.states[i]) : [];
}

function search() {
  const query = $("query").value.trim();
  found = query ? finder(query) : null;
  refresh();
}

// The choices of colours, each with the arguments of `coloured`.
function choices() {
  const made = [];
  const add = (group, text, kind, predicted, label) =>
    made.push({ group, text, kind, predicted, label });
  if (corpus.nGiven) {
    add("Labels", "Given label", "label", false, null);
  }
  if (corpus.predictable.length) {
    add("Labels", "Predicted label", "label", true, null);
  }
  if (corpus.confidence) {
    add("Labels", "Confidence", "confidence", true, null);
  }
  for (let label = 0; label < corpus.nGiven; label += 1) {
    add("One label, as given", `${corpus.names[label]}, given`, "value", false, label);
  }
  for (const label of corpus.predictable) {
    const text = `${corpus.names[label]}, probability`;
    add("One label, as predicted", text, "value", true, label);
  }
  return made;
}

// Fill the list of colours. The result is the choices.
function listColours() {
  const made = choices();
  const groups = new Map();
  made.forEach(({ group, text }, at) => {
    if (!groups.has(group)) {
      groups.set(group, document.createElement("optgroup"));
      groups.get(group).label = group;
    }
    const option = document.createElement("option");
    option.value = String(at);
    option.textContent = text;
    groups.get(group).append(option);
  });
  $("colouring").replaceChildren(...groups.values());
  $("colouring").closest("section").hidden = !made.length;
  return made;
}

function offerColours() {
  const made = listColours();
  // If all documents would be grey, the predicted labels are shown instead.
  const labelled = corpus.given.some((labels) => labels.length);
  const first = !labelled && corpus.nGiven && corpus.predictable.length ? 1 : 0;
  $("colouring").value = String(first);
  return made[first] ?? { kind: "plain", predicted: false, label: null };
}

function colour(next, anew) {
  choice = next;
  const made = coloured(corpus, choice);
  plot.colour(made);
  if (anew) {
    legend.reset(made);
  } else {
    legend.build(made);
  }
  selection.build();
  refresh();
}

function point(i) {
  if (plot.current !== i) {
    plot.current = i;
    fillTip(i);
    plot.invalidate(false);
  }
  showTip();
}

function fillTip(i) {
  if (i < 0) {
    return;
  }
  $("tip-text").replaceChildren(...inContext(corpus, i, 600));
  const facts = [];
  if (corpus.nGiven) {
    facts.push(["Label", corpus.givenText(i)]);
  }
  if (corpus.predictable.length) {
    facts.push(["Predicted", corpus.predictedText(i)]);
  }
  facts.push(["Id", idOf(corpus, i)]);
  $("tip-facts").replaceChildren(
    ...facts.flatMap(([name, text]) => {
      const value = named("dd", "", "");
      value.append(text);
      return [named("dt", "", name), value];
    }),
  );
}

// Put the tooltip beside the point, on a side with enough room.
function showTip() {
  const tip = $("tip");
  const i = plot.current;
  tip.hidden = i < 0 || !plot.states[i] || plot.move !== null;
  if (tip.hidden) {
    return;
  }
  const [x, y] = plot.screen(i);
  const gap = 14;
  const left = x + gap + tip.offsetWidth <= plot.width ? x + gap : x - gap - tip.offsetWidth;
  const top = y + gap + tip.offsetHeight <= plot.height ? y + gap : y - gap - tip.offsetHeight;
  const within = (place, size, room) => Math.max(0, Math.min(place, room - size));
  tip.style.left = `${within(left, tip.offsetWidth, plot.width)}px`;
  tip.style.top = `${within(top, tip.offsetHeight, plot.height)}px`;
}

function switchTo(space) {
  document.querySelector(`input[name=space][value=${space}]`).checked = true;
  [$("x-axis").textContent, $("y-axis").textContent] = corpus.axes[space];
  $("plot").setAttribute(
    "aria-label",
    `${counted(corpus.n, "document")} as points, by their ${space} vectors`,
  );
  plot.switchTo(space);
}

function setMode(mode) {
  document.querySelector(`input[name=mode][value=${mode}]`).checked = true;
  $("frame").dataset.mode = mode;
}

function showHelp() {
  $("help").showModal();
  $("help").scrollTop = 0; // the focus is on the button at its end
}

const KEYS = {
  b: () => switchTo("base"),
  t: () => switchTo("tuned"),
  s: () => setMode("select"),
  m: () => setMode("move"),
  "+": () => plot.zoom(1.4),
  "=": () => plot.zoom(1.4),
  "-": () => plot.zoom(1 / 1.4),
  0: () => plot.fit(),
  "?": showHelp,
  "/": () => $("query").focus(),
};

// Escape ends one thing at a time: the loop being drawn, typing, the search, then the selection.
function undo(typing) {
  if (gestures.cancel()) {
    return;
  }
  const field = document.activeElement;
  if (typing && (field !== $("query") || !field.value)) {
    field.blur(); // otherwise the next key would be a letter
  } else if ($("query").value) {
    $("query").value = "";
    search();
  } else if (selection.chosen.size) {
    selection.set([]);
  }
}

function key(event) {
  const typing = event.target.matches("input:not([type=radio]), select");
  if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) {
    return;
  }
  if (event.key === "Escape") {
    undo(typing);
  } else if (!typing && Object.hasOwn(KEYS, event.key.toLowerCase())) {
    event.preventDefault();
    KEYS[event.key.toLowerCase()](event);
  }
}

$("colouring").addEventListener("change", () => colour(choices()[$("colouring").value], true));
$("title").textContent = corpus.title;
$("subtitle").textContent = corpus.subtitle;
$("query").addEventListener("input", search);
$("select-found").addEventListener("click", () => selection.change(visibleFound(), "replace"));
$("space").addEventListener("change", () => switchTo(checked("space")));
$("mode").addEventListener("change", () => setMode(checked("mode")));
$("zoom-in").addEventListener("click", () => plot.zoom(1.4));
$("zoom-out").addEventListener("click", () => plot.zoom(1 / 1.4));
$("fit").addEventListener("click", () => plot.fit());
$("show-help").addEventListener("click", showHelp);
document.addEventListener("keydown", key);
darkScheme.addEventListener("change", () => colour(choice, false));
plot.moved = showTip;
setMode("select");
switchTo("base");
colour(offerColours(), true);
