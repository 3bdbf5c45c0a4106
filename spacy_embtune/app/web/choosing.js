// Ways to choose texts: by words, by meaning, the neighbours of a selection, a cluster.

const TYPING_MS = { words: 150, meaning: 450 }; // how long typing has to rest before a search
const SHOWN = 20; // how many of the nearest texts are shown at a time
let searching = 0; // the number of the latest search
let nearest = null; // the result of a search by meaning: rows and cosines
let nShown = SHOWN;
let clusters = null; // the cluster of each text, and their names
const tags = []; // the elements of the names of clusters
let showsNames = true;

// Search on the server, because the page does not have the texts.
function searchNow() {
  clearTimeout(searching.timer);
  const query = $("query").value.trim();
  const number = {};
  searching = number;
  if (!query) {
    showNearest(null);
    showFound(null);
    return;
  }
  number.timer = setTimeout(() => searchFor(query, number), TYPING_MS[checked("by")]);
}

async function searchFor(query, number) {
  try {
    if (checked("by") === "words") {
      const rows = await ask("words", { query });
      if (searching === number) {
        showNearest(null);
        showFound(rows);
      }
    } else {
      const result = await ask("meaning", { query });
      if (searching === number) {
        nShown = SHOWN;
        showNearest(result);
      }
    }
  } catch (error) {
    if (searching === number) {
      showNearest(null);
      showFound(null);
      tell(error.message, true);
    }
  }
}

function showFound(rows) {
  found = rows && new Array(corpus.n).fill(false);
  rows?.forEach((i) => {
    found[i] = true;
  });
  refresh();
}

// List the texts that are nearest to the sentence, and mark them in the plot.
function showNearest(result) {
  nearest = result;
  point(-1); // the pointer may be on an entry that is removed
  $("meant").hidden = !result;
  $("meant-list").replaceChildren();
  if (!result) {
    return;
  }
  const rows = result.rows.slice(0, nShown);
  $("meant-list").append(
    ...rows.map((i, at) => textItem(i, `cosine ${result.cosines[at].toFixed(2)} · ${selection.describe(i)}`)),
  );
  $("meant-more").hidden = nShown >= result.rows.length;
  showFound(rows);
}

// An entry of a list of texts outside of the selection: a click selects the text.
function textItem(i, facts, more = []) {
  const item = document.createElement("li");
  const button = named("button", "text", "");
  button.append(...inContext(corpus, i, 300));
  button.type = "button";
  button.title = "Select it";
  button.addEventListener("click", () => selectRows([i], i));
  item.addEventListener("pointerenter", () => point(i));
  item.addEventListener("pointerleave", () => point(-1));
  item.append(button, named("p", "facts", facts), ...more);
  return item;
}

function selectRows(rows, shown) {
  selection.set(rows);
  plot.show(shown);
  point(shown);
}

// Add the texts without a label that are nearest to the selection.
async function addNeighbours() {
  const rows = [...selection.chosen];
  if (!rows.length) {
    tell("Select a text first.", true);
    return;
  }
  try {
    const result = await ask("neighbors", { rows, n: SHOWN });
    if (result.rows.length) {
      selection.change(result.rows, "add");
    } else {
      tell("All other texts have a label.", false);
    }
  } catch (error) {
    tell(error.message, true);
  }
}

async function loadClusters() {
  for (;;) {
    try {
      const result = await ask("clusters", {});
      if (result.is_ready) {
        clusters = result;
        makeTags();
        return;
      }
    } catch {
      // The page says elsewhere that the connection is lost.
    }
    await pause(500);
  }
}

function makeTags() {
  const members = clusters.names.map(() => []);
  clusters.of.forEach((cluster, i) => members[cluster]?.push(i));
  const order = [...clusters.names.keys()].filter((c) => clusters.names[c] && members[c].length);
  order.sort((a, b) => members[b].length - members[a].length);
  for (const cluster of order) {
    const element = named("button", "cluster", clusters.names[cluster]);
    element.type = "button";
    element.title = `Select the ${counted(members[cluster].length, "text")} of this cluster that have no label`;
    element.addEventListener("click", () => selectCluster(members[cluster]));
    $("tags").append(element);
    tags.push({ element, members: members[cluster], places: new Map() });
  }
  $("names").hidden = !tags.length;
  placeTags();
}

function selectCluster(rows) {
  const free = rows.filter((i) => !corpus.given[i].length);
  selection.set(free.length ? free : rows);
}

// The middle of a cluster on the screen: the medians of x and y.
function middleOf(tag) {
  const { pixels } = plot;
  if (tag.pixels !== pixels) {
    const medians = [0, 1].map((axis) => {
      const values = Float32Array.from(tag.members, (i) => pixels[2 * i + axis]).sort();
      return values[values.length >> 1];
    });
    [tag.pixels, tag.middle] = [pixels, medians];
  }
  const { scale, x, y } = plot.view;
  return [tag.middle[0] * scale + x, tag.middle[1] * scale + y];
}

// Put the names where their clusters are. Larger clusters come first, and names do not overlap.
function placeTags() {
  const taken = [];
  for (const tag of tags) {
    const { element } = tag;
    element.hidden = !showsNames || plot.move !== null;
    if (element.hidden) {
      continue;
    }
    const [x, y] = middleOf(tag);
    tag.size ??= [element.offsetWidth, element.offsetHeight];
    const [width, height] = tag.size;
    const left = Math.min(Math.max(x - width / 2, 2), plot.width - width - 2);
    const box = [left, y - height / 2, left + width, y + height / 2];
    const overlaps = taken.some(
      (other) => box[0] < other[2] && box[2] > other[0] && box[1] < other[3] && box[3] > other[1],
    );
    const isOutside = x < 0 || x > plot.width || box[1] < 0 || box[3] > plot.height;
    element.hidden = overlaps || isOutside;
    if (!element.hidden) {
      taken.push(box);
      element.style.transform = `translate(${Math.round(box[0])}px, ${Math.round(box[1])}px)`;
    }
  }
}

function toggleNames() {
  showsNames = !showsNames;
  $("names").setAttribute("aria-pressed", String(showsNames));
  placeTags();
}

// The layer of names, and the button that hides them, are no part of the page without a server.
const layer = document.createElement("div");
layer.id = "tags";
$("plot").after(layer);
const toggle = named("button", "", "Names");
toggle.type = "button";
toggle.id = "names";
toggle.hidden = true;
toggle.title = "Words that set each cluster apart (C)";
toggle.setAttribute("aria-pressed", "true");
toggle.addEventListener("click", toggleNames);
$("zoom-in").before(toggle);
plot.moved = () => {
  showTip();
  placeTags();
};
finder = () => found;
$("query").addEventListener("input", searchNow);
$("by").addEventListener("change", searchNow);
$("meant-more").addEventListener("click", () => {
  nShown += SHOWN;
  showNearest(nearest);
});
$("meant-select").addEventListener("click", () => selection.set(nearest.rows.slice(0, nShown)));
$("grow").addEventListener("click", addNeighbours);
const content = JSON.parse($("data").textContent);
$("by").hidden = !content.can_search_meaning;
const hoverBefore = gestures.on.hover;
gestures.on.hover = async (i, aloud) => {
  hoverBefore(i, false);
  if (aloud && i >= 0) {
    await textsOf([i]);
    hoverBefore(i, true);
  }
};
