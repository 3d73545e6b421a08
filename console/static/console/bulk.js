/* Has a change of many devices done, some at a time: see console/bulk.py. What failed to be asked, with the server
   away, is asked again with the next click. */
"use strict";
(() => {
  const form = document.getElementById("bulk");
  const start = document.getElementById("bulk-start");
  const result = document.getElementById("bulk-result");
  const progress = document.getElementById("bulk-progress");
  const words = document.getElementById("bulk-words");
  const rows = document.getElementById("bulk-rows");
  const ids = JSON.parse(document.getElementById("bulk-ids").textContent);
  const chunk = Number(form.dataset.chunk);
  const SHOWN = 2000; // rows; a page of tens of thousands is no help
  const counts = new Map();
  let done = 0;

  function show(row) {
    counts.set(row.words, (counts.get(row.words) ?? 0) + 1);
    if (rows.childElementCount >= SHOWN) {
      return;
    }
    const line = rows.insertRow();
    const link = document.createElement("a");
    link.href = `/admin/devices/device/${row.id}/change/`;
    link.textContent = row.name;
    line.insertCell().append(link);
    line.insertCell().textContent = row.address;
    line.insertCell().textContent = row.words;
    line.dataset.outcome = row.outcome;
  }

  function tell(text) {
    const parts = [...counts].map(([outcome, count]) => `${count} ${outcome}`);
    words.textContent = `${done} of ${ids.length} done${parts.length ? `: ${parts.join("; ")}` : ""}. ${text}`;
    progress.value = done;
  }

  async function ask(some) {
    const body = new FormData(form);
    body.set("ids", some.join(","));
    const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" });
    if (answer.ok) {
      return (await answer.json()).rows;
    }
    if (answer.status === 400) {
      throw new Error((await answer.json()).error.message);
    }
    throw new Error(
      answer.type === "opaqueredirect" || answer.status === 403
        ? "You are logged out, or may not do this any more."
        : `The server answers with an error (${answer.status}).`,
    );
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    start.disabled = true;
    result.hidden = false;
    try {
      while (done < ids.length) {
        const some = ids.slice(done, done + chunk);
        (await ask(some)).forEach(show);
        done += some.length;
        tell(done < ids.length ? "Leaving this page stops here." : "");
      }
      start.hidden = true;
    } catch (error) {
      tell(error instanceof TypeError ? "The server does not answer. Click again to go on." : error.message);
      start.disabled = false;
    }
  });
})();
