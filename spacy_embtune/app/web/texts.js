// Fetch texts when they are shown. There may be 100,000, and a page needs a few of them.

const AT_ONCE = 500;
const wanted = new Set();
let asking = null; // the request for texts in progress

// Ask for a text that is shown. Elements that wait for it are filled when it is there.
corpus.want = (i) => {
  wanted.add(i);
  asking ??= Promise.resolve().then(fetchTexts);
  return asking;
};

async function fetchTexts() {
  try {
    while (wanted.size) {
      const rows = [...wanted].slice(0, AT_ONCE);
      rows.forEach((i) => wanted.delete(i));
      const found = await ask("texts", { rows });
      rows.forEach((i, at) => {
        corpus.texts[i] = found.texts[at];
        corpus.ids[i] = found.ids[at];
      });
    }
  } catch {
    wanted.clear(); // the connection is lost, which the page says elsewhere
  } finally {
    asking = null;
  }
  for (const element of document.querySelectorAll("[data-wants]")) {
    const i = Number(element.dataset.wants);
    if (corpus.texts[i] !== undefined) {
      const what = element.dataset.part === "id" ? corpus.ids[i] : startOf(corpus.texts[i], 5000);
      element.replaceWith(element.dataset.part === "id" ? named("span", "id", what) : what);
    }
  }
  showTip();
}

// The texts of some documents, fetched if necessary.
async function textsOf(rows) {
  rows.filter((i) => corpus.texts[i] === undefined).forEach((i) => wanted.add(i));
  if (wanted.size) {
    asking ??= Promise.resolve().then(fetchTexts);
    await asking;
  }
  return rows.map((i) => corpus.text(i));
}
