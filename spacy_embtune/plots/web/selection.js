// The list of the selected documents, and their download.

const PAGE = 100; // how many documents are listed at a time, because thousands of elements are slow

class Selection {
  constructor(corpus, parts, on) {
    this.corpus = corpus;
    this.parts = parts;
    this.on = on; // handlers: changed(), point(i), and mark(i), which returns the mark of a document
    this.chosen = new Set();
    this.nListed = 0;
    this.act = (label) => this.download(label); // what the form does
    this.order = (documents) => documents; // the order of the list
    this.describe = (i) => corpus.givenText(i); // what the list says of a document
    parts.clear.addEventListener("click", () => this.set([]));
    parts.more.addEventListener("click", () => this.list(PAGE));
    parts.actions.addEventListener("submit", (event) => {
      event.preventDefault();
      this.act(parts.label.value.trim());
    });
    this.offer();
  }

  // Offer the labels while a label is typed.
  offer() {
    const { names, nGiven } = this.corpus;
    const options = names.slice(0, nGiven).map((name) => {
      const option = document.createElement("option");
      option.value = name;
      return option;
    });
    this.parts.labels.replaceChildren(...options);
  }

  // Change the selection. how: "replace", "add", "remove" or "toggle".
  change(documents, how) {
    const chosen = how === "replace" ? new Set() : new Set(this.chosen);
    for (const i of documents) {
      if (how === "remove" || (how === "toggle" && chosen.has(i))) {
        chosen.delete(i);
      } else {
        chosen.add(i);
      }
    }
    this.set(chosen);
  }

  set(documents) {
    this.chosen = new Set(documents);
    this.build();
    this.on.changed();
  }

  build() {
    const { parts } = this;
    const none = this.chosen.size === 0;
    parts.count.textContent = none ? "Nothing selected" : `${counted(this.chosen.size, "text")} selected`;
    parts.hint.hidden = !none;
    parts.clear.hidden = none;
    parts.actions.hidden = none;
    parts.list.replaceChildren();
    this.nListed = 0;
    this.list(PAGE);
  }

  list(n) {
    const { list, more } = this.parts;
    const documents = this.order([...this.chosen]);
    const next = documents.slice(this.nListed, this.nListed + n);
    list.append(...next.map((i) => this.item(i)));
    this.nListed += next.length;
    const nLeft = documents.length - this.nListed;
    more.hidden = nLeft === 0;
    more.textContent = `List ${Math.min(PAGE, nLeft)} more of ${nLeft.toLocaleString("en")}`;
  }

  item(i) {
    const item = document.createElement("li");
    item.dataset.row = i;
    const text = named("button", "text", "");
    text.append(...inContext(this.corpus, i, 5000));
    text.type = "button";
    text.title = "Read it all";
    text.setAttribute("aria-expanded", "false");
    text.addEventListener("click", () => {
      text.setAttribute("aria-expanded", String(item.classList.toggle("open")));
    });
    const facts = document.createElement("p");
    facts.className = "facts";
    facts.append(
      swatch(this.on.mark(i)),
      named("span", "label", this.describe(i)),
      idOf(this.corpus, i),
    );
    const remove = named("button", "remove", "×");
    remove.type = "button";
    remove.setAttribute("aria-label", "Take out of the selection");
    remove.addEventListener("click", (event) => {
      if (event.shiftKey) {
        this.removeDownTo(i);
      } else {
        this.remove(i, item);
      }
    });
    item.addEventListener("pointerenter", () => this.on.point(i));
    item.addEventListener("pointerleave", () => this.on.point(-1));
    item.addEventListener("focusin", () => this.on.point(i));
    item.addEventListener("focusout", () => this.on.point(-1));
    item.append(text, facts, remove);
    return item;
  }

  // Take out a document and all that are above it in the list.
  removeDownTo(i) {
    const documents = this.order([...this.chosen]);
    this.change(documents.slice(0, documents.indexOf(i) + 1), "remove");
  }

  // The other entries of the list are not changed, and the keyboard focus stays near.
  remove(i, item) {
    const neighbour = item.nextElementSibling ?? item.previousElementSibling;
    this.chosen.delete(i);
    if (!neighbour) {
      this.set([]);
      this.on.point(-1);
      return;
    }
    neighbour.querySelector(".remove").focus();
    item.remove();
    this.nListed -= 1;
    this.parts.count.textContent = `${counted(this.chosen.size, "text")} selected`;
    this.on.changed();
  }

  download(label) {
    const documents = [...this.chosen].sort((a, b) => a - b);
    const lines = this.corpus.jsonl(documents, label);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines], { type: "application/jsonl" }));
    link.download = "selected.jsonl";
    link.click();
    // The browser reads the URL after the click, so it is revoked later.
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  }
}

// The text of a document. If it is a part of a longer text, it is marked within what is around it.
function inContext(corpus, i, length) {
  if (corpus.texts[i] === undefined) {
    return [wanting(corpus, i, "text")];
  }
  const text = startOf(corpus.texts[i], length);
  if (!corpus.contexts) {
    return [text];
  }
  const [before, behind] = corpus.contexts[i];
  const around = (part) => (part ? [named("span", "context", part)] : []);
  return [...around(before), named("mark", "", text), ...around(behind)];
}

// The id of a document, as an element.
function idOf(corpus, i) {
  return corpus.ids[i] === undefined ? wanting(corpus, i, "id") : named("span", "id", corpus.ids[i]);
}

// An element that is replaced when the text or the id of a document is there.
function wanting(corpus, i, part) {
  const element = named("span", part, "…");
  element.dataset.wants = i;
  element.dataset.part = part;
  corpus.want(i);
  return element;
}
