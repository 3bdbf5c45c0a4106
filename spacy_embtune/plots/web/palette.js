// Colours and shapes of labels. The light scheme has the PALETTE of colors.py, so that figures and
// page agree. The colours of the dark scheme are equally distinct, also for people with colour
// blindness. After eight labels, the colours repeat with another shape.

const SCHEMES = {
  light: {
    labels: ["#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#6b3a00", "#e3d532"],
    unknown: "#a4abb6",
    none: "#858d9a",
    ramp: ["#c6cfdf", "#7ea3e6", "#2f5fd0", "#132f78"],
    background: "#ffffff",
    ring: "#14181f",
    lasso: "#2f5fd0",
    lassoFill: "rgba(47, 95, 208, 0.1)",
  },
  dark: {
    labels: ["#2f86d6", "#f26a1b", "#12b183", "#f7b125", "#86d2ff", "#e583cb", "#94591f", "#e9f06a"],
    unknown: "#727b89",
    none: "#9aa3b0",
    ramp: ["#343d4d", "#4668b0", "#7ea3f5", "#dbe7ff"],
    background: "#14171c",
    ring: "#ffffff",
    lasso: "#8fb0ff",
    lassoFill: "rgba(143, 176, 255, 0.14)",
  },
};
const N_COLOURS = SCHEMES.light.labels.length;
const RAMP_STEPS = 16;

// Each shape fills a square from -1 to 1. All shapes look about equally large.
const SHAPES = [
  "M-0.9 0A0.9 0.9 0 1 1 0.9 0A0.9 0.9 0 1 1 -0.9 0Z",
  "M0 -1.1L1.05 0.8L-1.05 0.8Z",
  "M-0.8 -0.8L0.8 -0.8L0.8 0.8L-0.8 0.8Z",
  "M-0.37 -1.05H0.37V-0.37H1.05V0.37H0.37V1.05H-0.37V0.37H-1.05V-0.37H-0.37Z",
  "M0 -1.2L0.95 0L0 1.2L-0.95 0Z",
  "M0 1.1L1.05 -0.8L-1.05 -0.8Z",
];

const darkScheme = matchMedia("(prefers-color-scheme: dark)");

function scheme() {
  return darkScheme.matches ? SCHEMES.dark : SCHEMES.light;
}

// The mark of a label: an index into names, NONE or UNKNOWN. Hollow shapes are drawn as outlines.
function labelMark(category) {
  const colours = scheme();
  if (category === UNKNOWN) {
    return { colour: colours.unknown, shape: SHAPES[0], hollow: false };
  }
  if (category === NONE) {
    return { colour: colours.none, shape: SHAPES[0], hollow: true };
  }
  const shape = SHAPES[Math.floor(category / N_COLOURS) % SHAPES.length];
  return { colour: colours.labels[category % N_COLOURS], shape, hollow: false };
}

// The mark of a value: 0..RAMP_STEPS - 1, or UNKNOWN.
function valueMark(step) {
  return step === UNKNOWN
    ? labelMark(UNKNOWN)
    : { colour: rampColour(step / (RAMP_STEPS - 1)), shape: SHAPES[0], hollow: false };
}

function rampColour(value) {
  const { ramp } = scheme();
  const place = value * (ramp.length - 1);
  const left = Math.min(Math.floor(place), ramp.length - 2);
  const part = (colour, at) => parseInt(colour.slice(at, at + 2), 16);
  const mixed = [1, 3, 5].map((at) => {
    const from = part(ramp[left], at);
    return Math.round(from + (place - left) * (part(ramp[left + 1], at) - from));
  });
  return `rgb(${mixed.join(", ")})`;
}

// The mark beside a name in the legend or the list.
function swatch(mark) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "-1.4 -1.4 2.8 2.8");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "swatch");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", mark.shape);
  path.setAttribute("fill", mark.hollow ? "none" : mark.colour);
  path.setAttribute("stroke", mark.hollow ? mark.colour : "none");
  path.setAttribute("stroke-width", "0.4");
  svg.append(path);
  return svg;
}
