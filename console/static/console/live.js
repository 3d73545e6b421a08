/* Keeps the panels of a page fresh: each is replaced only when it has changed, so nothing flickers; the keyboard's
   place, and what is ticked, are kept. Says when what is shown is old. */
"use strict";
(() => {
  const panels = document.getElementById("panels");
  const stale = document.getElementById("stale");
  const pause = Number(panels.dataset.seconds) * 1000;
  const PATIENCE = 3; // answers that may fail to come before the page says that it is old
  let answeredAt = Date.now();
  let since = new Date();

  function focusIn(panel) {
    const active = document.activeElement;
    return panel.contains(active) ? active.getAttribute("href") : null;
  }

  const ticked = (panel) => [...panel.querySelectorAll("input:checked")].map((box) => `${box.name}=${box.value}`);

  function replace(fresh) {
    for (const panel of fresh.querySelectorAll("[id^='panel-']")) {
      const shown = document.getElementById(panel.id);
      if (shown && shown.innerHTML !== panel.innerHTML) {
        const focused = focusIn(shown);
        const kept = ticked(shown);
        shown.innerHTML = panel.innerHTML;
        for (const box of shown.querySelectorAll("input[type=checkbox]")) {
          box.checked = kept.includes(`${box.name}=${box.value}`);
        }
        if (focused !== null) {
          [...shown.querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
        }
      }
    }
  }

  function tell(text) {
    if (stale.textContent !== text) {
      stale.textContent = text;
    }
    stale.hidden = text === "";
    panels.classList.toggle("nms-old", text !== "");
  }

  function tellWhenOld(why) {
    if (Date.now() - answeredAt > PATIENCE * pause) {
      tell(`What you see is of ${since.toLocaleTimeString("sv")}: ${why}`);
    }
  }

  async function refresh() {
    try {
      const signal = AbortSignal.timeout((PATIENCE - 1) * pause); // a server that hangs does not answer
      const answer = await fetch(panels.dataset.live, { redirect: "manual", cache: "no-store", signal });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        answeredAt = 0;
        tellWhenOld("you are logged out. Load the page again to log in.");
      } else if (answer.ok) {
        replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
        answeredAt = Date.now();
        since = new Date();
        tell("");
      } else {
        tellWhenOld(`the server answers with an error (${answer.status}).`);
      }
    } catch {
      tellWhenOld("the server does not answer.");
    }
  }

  async function loop() {
    if (!document.hidden) {
      await refresh();
    }
    setTimeout(loop, pause);
  }

  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      refresh();
    }
  });
  setTimeout(loop, pause);
})();
