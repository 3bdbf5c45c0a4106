// The button that tunes a pipeline to the labels, in a process of its own.

const LOOK_MS = 1000;
const PHASES = {
  idle: () => "",
  running: ({ said, seconds }) => `Tuning for ${clock(seconds)}. ${said}`,
  encoding: () => "Tuned. The texts are being encoded.",
  done: ({ said, out }) => `Tuned. ${said} The pipeline is in ${out}.`,
  failed: ({ said }) => `Not tuned. ${said}`,
};
let tuning = { phase: "idle" };

function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}

async function tuneDo(what) {
  try {
    tuning = await ask("tuning", { do: what });
  } catch (error) {
    $("tuned").textContent = error.message;
    return;
  }
  if (state === null) {
    return;
  }
  showTuning();
}

// A pipeline of exclusive labels needs two of them.
function showTuning() {
  if (!$("tuning")) {
    return;
  }
  const isReady = state.counts.filter(Boolean).length >= (state.exclusive ? 2 : 1);
  $("tune").textContent = tuning.phase === "running" ? "Stop tuning" : "Tune";
  $("tune").disabled = tuning.phase === "encoding" || (tuning.phase !== "running" && !isReady);
  const isWaiting = tuning.phase === "idle" && !isReady;
  $("tuned").textContent = isWaiting ? "From two labels with texts on" : PHASES[tuning.phase](tuning);
}

async function watchTuning() {
  for (;;) {
    await tuneDo("look");
    do {
      await pause(LOOK_MS);
    } while (!["running", "encoding"].includes(tuning.phase));
  }
}

if ($("tuning")) {
  $("tune").addEventListener("click", () => tuneDo(tuning.phase === "running" ? "stop" : "start"));
  watchTuning();
}
