// When something has changed, the page fetches itself again and exchanges its main part. Without
// this, everything can be read and done all the same.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const button = live.querySelector("button");
  let source = null;
  let wanted = true;
  let pending = false;

  // Input, selections and open sections must not be lost.
  const isBusy = () =>
    document.querySelector("main details[open]") !== null ||
    (document.activeElement && document.activeElement.closest("main form") !== null) ||
    String(window.getSelection()) !== "";

  const refresh = async () => {
    if (pending || document.hidden || isBusy()) return;
    pending = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.redirected) return location.reload();
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const main = fresh.getElementById("main");
      if (!main || isBusy()) return;
      const focused = document.activeElement && document.activeElement.getAttribute("href");
      document.getElementById("main").replaceWith(document.adoptNode(main));
      if (focused) {
        const again = document.querySelector(`main a[href="${CSS.escape(focused)}"]`);
        if (again) again.focus({ preventScroll: true });
      }
    } catch {
      // The next event retries it.
    } finally {
      pending = false;
    }
  };

  const start = () => {
    if (source || !wanted || document.hidden) return;
    source = new EventSource(live.dataset.events);
    source.onmessage = refresh;
  };
  const stop = () => {
    if (source) source.close();
    source = null;
  };
  button.addEventListener("click", () => {
    wanted = !wanted;
    button.textContent = wanted ? "Stop updating" : "Update by itself";
    wanted ? start() : stop();
  });
  // A browser opens six connections to a server, over all its tabs and the pages it keeps for going
  // back. A hidden page closes its connection; otherwise the seventh would wait forever.
  const onVisibility = () => {
    if (document.hidden) return stop();
    start();
    if (wanted) refresh();
  };
  document.addEventListener("visibilitychange", onVisibility);
  window.addEventListener("pagehide", stop);
  window.addEventListener("pageshow", (event) => { if (event.persisted) onVisibility(); });
  live.hidden = false;
  start();
})();
