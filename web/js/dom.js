// Small words for the document.

export const $ = (id) => document.getElementById(id);

/** An element; properties are set, `data` and `aria` spread, children appended. */
export function el(tag, { data = {}, aria = {}, on = {}, ...props } = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, props);
  Object.assign(made.dataset, data);
  for (const [name, value] of Object.entries(aria)) made.setAttribute(`aria-${name}`, value);
  for (const [name, listener] of Object.entries(on)) made.addEventListener(name, listener);
  made.append(...children.filter((child) => child != null));
  return made;
}

let fading;

/** Says a sentence at the foot of the page, for a while. */
export function toast(sentence) {
  clearTimeout(fading);
  $("toast").textContent = sentence;
  fading = setTimeout(() => ($("toast").textContent = ""), Math.max(4000, sentence.length * 70));
}

/** Runs what a person asked for; a failure becomes a sentence. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    if (error.name !== "AbortError") toast(error.message);
    return undefined;
  }
}

/** Marks one of a group of radio buttons, and moves by arrow keys between them. */
export function radios(group, choose) {
  const buttons = () => [...group.querySelectorAll("[role=radio]")];
  const mark = (chosen) => {
    for (const button of buttons()) {
      button.setAttribute("aria-checked", String(button === chosen));
      button.tabIndex = button === chosen ? 0 : -1;
    }
  };
  group.addEventListener("click", (event) => {
    const button = event.target.closest("[role=radio]");
    if (button) mark(button), choose(button);
  });
  group.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    const all = buttons();
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.focus();
    next.click();
    event.preventDefault();
    event.stopPropagation();
  });
  mark(buttons().find((button) => button.getAttribute("aria-checked") === "true"));
  return mark;
}

/** Hands a file to the person. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A name that every file system takes. */
export function fileName(text) {
  return text.trim().replace(/[^\p{L}\p{N}]+/gu, "_").replace(/^_+|_+$/g, "").slice(0, 60) || "mask";
}
