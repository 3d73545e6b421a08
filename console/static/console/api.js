/* What the pages of Django REST framework leave out for screen readers and for the keyboard. */
"use strict";
document.documentElement.lang = "en";
document.querySelector(".format-selection .dropdown-toggle")?.setAttribute("aria-label", "Choose a format");
for (const field of document.querySelectorAll("input[name], select, textarea")) {
  if (field.type !== "hidden" && field.labels.length === 0) {
    const label = field.closest(".form-group")?.querySelector("label")?.textContent.trim();
    field.setAttribute("aria-label", label || field.name.replaceAll("_", " ").trim());
  }
}
for (const block of document.querySelectorAll("pre.prettyprint")) {
  block.tabIndex = 0; // it scrolls sideways
}
