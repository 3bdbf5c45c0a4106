// Show how far encoding is, and open the page as soon as it is there.

(async () => {
  "use strict";
  const began = performance.now();
  for (;;) {
    const said = document.getElementById("said");
    try {
      const response = await fetch(`${location.pathname}progress`);
      const { is_ready: isReady, n_done: nDone, n } = await response.json();
      if (isReady) {
        location.reload();
        return;
      }
      if (n) {
        const bar = document.getElementById("bar");
        [bar.max, bar.value] = [n, nDone];
        const [done, all] = [nDone, n].map((number) => number.toLocaleString("en"));
        const seconds = (performance.now() - began) / 1000;
        const left = nDone && seconds > 4 ? Math.ceil((seconds * (n - nDone)) / nDone) : 0;
        const time = left > 90 ? ` · about ${Math.ceil(left / 60)} minutes left` : "";
        said.textContent = nDone === n ? "The map is being drawn." : `${done} of ${all}${time}`;
      }
    } catch {
      said.textContent = "The program has ended. Its terminal says why.";
    }
    await new Promise((done) => {
      setTimeout(done, 300);
    });
  }
})();
