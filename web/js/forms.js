// Dialogs with a form in them, and a question before what cannot be undone.

import { $, el } from "./dom.js";

/** Shows fields in a dialog; answers with their values, or `null` when it was closed. */
export function ask({ title, text, fields = [], action, danger = false }) {
  const dialog = $("form-dialog");
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id: "form-title", textContent: title }),
    text ? el("p", { className: "hint", textContent: text }) : null,
    el("div", { className: "form" }, ...fields),
    el(
      "p",
      { className: "row end" },
      el("button", { type: "button", on: { click: () => dialog.close() } }, "Cancel"),
      el("button", { type: "submit", className: danger ? "danger" : "primary", value: "go" }, action),
    ),
  );
  dialog.replaceChildren(form);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    const closed = () => resolve(dialog.returnValue === "go" ? Object.fromEntries(new FormData(form)) : null);
    dialog.addEventListener("close", closed, { once: true });
  });
}

export function field(label, control, wide = false) {
  return el("label", { className: wide ? "wide" : "" }, label, control);
}

export function choice(name, options, value) {
  const made = options.map((option) => {
    const [key, text] = Array.isArray(option) ? option : [option, option];
    return el("option", { value: key, textContent: text, selected: key === value });
  });
  return el("select", { name }, ...made);
}

export function text(name, props = {}) {
  return el("input", { type: "text", name, autocomplete: "off", spellcheck: false, ...props });
}

/** A time such as 3 Dec 2026, 14:05, or a dash. */
export function moment(iso) {
  return iso ? new Date(iso).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "short" }) : "–";
}

export function table(heads, rows) {
  const head = el("tr", {}, ...heads.map((name) => el("th", { scope: "col" }, name)));
  return el("div", { className: "scroll" }, el("table", { className: "table" }, el("thead", {}, head), el("tbody", {}, ...rows)));
}
