// When something has changed, the page fetches itself again and exchanges its main part. Without
// this, everything can be read and done all the same.
"use strict";

(() => {
  const live = document.getElementById("live");
  if (!live || !window.EventSource) return;
  const button = live.querySelector("button");
  let source = null;
  let pending = false;

  // Whoever writes, chooses or has something open must not lose it.
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
      // The next event brings the next try.
    } finally {
      pending = false;
    }
  };

  const start = () => {
    source = new EventSource(live.dataset.events);
    source.onmessage = refresh;
    button.textContent = "Stop updating";
  };
  const stop = () => {
    source.close();
    source = null;
    button.textContent = "Update by itself";
  };
  button.addEventListener("click", () => (source ? stop() : start()));
  document.addEventListener("visibilitychange", () => { if (source && !document.hidden) refresh(); });
  live.hidden = false;
  start();
})();
