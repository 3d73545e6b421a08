/* Says below the target of a discovery profile what it comes to, while it is typed. */
"use strict";
(() => {
  const PAUSE = 300; // milliseconds without a key before the server is asked
  const shown = document.getElementById("target-preview");
  const target = document.getElementById("id_target");
  if (!target) {
    return; // a viewer's page has no fields
  }
  const others = ["credential_profile", "ping_first"].map((name) => document.getElementById(`id_${name}`));
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  let timer = 0;
  let asked = 0;

  async function ask() {
    const mine = ++asked;
    if (target.value.trim() === "") {
      shown.replaceChildren();
      return;
    }
    const body = new FormData();
    body.set("target", target.value);
    body.set("profile", shown.dataset.profile);
    for (const field of others) {
      if (field && (field.type !== "checkbox" || field.checked)) {
        body.set(field.name, field.value);
      }
    }
    const headers = { "X-CSRFToken": token };
    try {
      const answer = await fetch(shown.dataset.preview, { method: "POST", body, headers, redirect: "manual" });
      const text = answer.ok ? await answer.text() : "";
      if (mine === asked) {
        const fresh = new DOMParser().parseFromString(text, "text/html");
        shown.replaceChildren(...fresh.body.childNodes);
      }
    } catch {
      if (mine === asked) {
        shown.replaceChildren(); // saving says it again
      }
    }
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE);
  }

  target.after(shown);
  target.addEventListener("input", later);
  for (const field of others) {
    field?.addEventListener("change", later);
  }
  ask();
})();
