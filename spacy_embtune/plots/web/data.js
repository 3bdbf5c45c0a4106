// The documents of the page, decoded once. This file does not use the DOM.

// Colours of documents without a label: no label is known (UNKNOWN), or all known labels are absent.
const UNKNOWN = -1;
const NONE = -2;

class Corpus {
  constructor(raw) {
    // What a server sends later is missing at first.
    const empty = new Array(raw.n ?? 0).fill([]);
    this.title = raw.title;
    this.subtitle = raw.subtitle;
    this.axes = raw.axes;
    this.exclusive = raw.exclusive;
    this.names = raw.names ?? []; // the given labels, the most frequent first, then other labels of the model
    this.nGiven = raw.n_given ?? 0;
    this.predictable = raw.predictable ?? []; // the names that the model predicts, as indices
    this.n = raw.n ?? raw.ids.length;
    this.ids = raw.ids ?? [];
    this.texts = raw.texts ?? []; // without some of them, `want` fetches a text when it is shown
    this.want = null;
    this.contexts = raw.contexts ?? null; // of parts of texts: what is before and behind each
    this.fields = raw.fields ?? []; // for each document, the members of a JSON object: other fields
    this.positions = { base: decoded(raw.base), tuned: decoded(raw.tuned ?? raw.base) };
    this.patterns = raw.patterns ?? [[]]; // distinct sets of labels that are known
    this.known = raw.known ?? new Uint32Array(this.n); // for each document, an index into patterns
    this.values = raw.values ?? empty; // for each document: label, value, label, value, ... without zeros
    this.given = raw.given ?? empty; // for each document, the labels that it carries, the rarest first
    this.probabilities = raw.probabilities ?? empty; // like values
    this.predicted = raw.predicted ?? empty; // like given, the most probable first
    this.confidence = null; // for each document, how sure the prediction is, 0..1, or NaN
    this.folded = null;
  }

  // The text of a document, or "…" as long as it is not there.
  text(i) {
    return this.texts[i] ?? "…";
  }

  // The label that gives a document its colour: an index into names, NONE or UNKNOWN.
  category(i, predicted) {
    if (predicted) {
      return this.predicted[i].length ? this.predicted[i][0] : NONE;
    }
    if (this.given[i].length) {
      return this.given[i][0];
    }
    const nKnown = this.patterns[this.known[i]].length;
    return nKnown && nKnown === this.nGiven ? NONE : UNKNOWN;
  }

  categoryName(category, predicted) {
    if (category >= 0) {
      return this.names[category];
    }
    const labels = predicted ? this.predictable : [...this.names.keys()].slice(0, this.nGiven);
    const none = labels.length === 1 ? `not ${this.names[labels[0]]}` : "no label";
    return category === NONE ? none : "unknown";
  }

  // The value of one label, 0..1; NaN if it is not known.
  value(i, label, predicted) {
    if (!predicted && !this.patterns[this.known[i]].includes(label)) {
      return NaN;
    }
    const pairs = (predicted ? this.probabilities : this.values)[i];
    for (let at = 0; at < pairs.length; at += 2) {
      if (pairs[at] === label) {
        return pairs[at + 1];
      }
    }
    return 0;
  }

  givenText(i) {
    if (this.given[i].length) {
      return this.given[i].map((label) => this.names[label]).join(", ");
    }
    return this.categoryName(this.category(i, false), false);
  }

  predictedText(i) {
    if (!this.predicted[i].length) {
      return this.categoryName(NONE, true);
    }
    return this.predicted[i]
      .map((label) => `${this.names[label]} ${Math.round(100 * this.value(i, label, true))} %`)
      .join(", ");
  }

  // The documents whose text contains the query, in lower or upper case.
  search(query) {
    const fold = (text) => text.normalize("NFC").toLowerCase();
    this.folded ??= this.texts.map(fold);
    const wanted = fold(query);
    return this.folded.map((text) => text.includes(wanted));
  }

  // One document as a record for training. A label given here replaces the known labels.
  record(i, label) {
    // The object has no prototype, so that "__proto__" can be a label.
    const cats = Object.create(null);
    for (const j of this.patterns[this.known[i]]) {
      cats[this.names[j]] = 0;
    }
    fill(cats, this.names, this.values[i]);
    if (label && this.exclusive) {
      for (let j = 0; j < this.nGiven; j += 1) {
        cats[this.names[j]] = 0;
      }
    }
    if (label) {
      cats[label] = 1;
    }
    const record = { id: this.ids[i], text: this.texts[i], cats };
    if (this.predictable.length) {
      record.predicted = Object.create(null);
      for (const j of this.predictable) {
        record.predicted[this.names[j]] = 0;
      }
      fill(record.predicted, this.names, this.probabilities[i]);
    }
    return record;
  }

  jsonl(documents, label) {
    // Some readers also break lines at these characters.
    const escape = (mark) => `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`;
    const line = (i) => {
      const record = JSON.stringify(this.record(i, label));
      return this.fields[i] ? `${record.slice(0, -1)},${this.fields[i]}}` : record;
    };
    return documents
      .map((i) => line(i).replace(/[\u0085\u2028\u2029]/g, escape))
      .map((line) => `${line}\n`)
      .join("");
  }
}

// Positions: numbers, or the bytes of 32-bit floats in base 64.
function decoded(positions) {
  if (typeof positions !== "string") {
    return Float32Array.from(positions);
  }
  const bytes = Uint8Array.from(atob(positions), (mark) => mark.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function fill(target, names, pairs) {
  for (let at = 0; at < pairs.length; at += 2) {
    target[names[pairs[at]]] = pairs[at + 1];
  }
}

// The start of a text. A character of two code units is not split.
function startOf(text, length) {
  if (text.length <= length) {
    return text;
  }
  const last = text.charCodeAt(length - 1);
  return `${text.slice(0, last >= 0xd800 && last < 0xdc00 ? length - 1 : length)}…`;
}

function counted(n, noun) {
  return `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
}
