// The page: views, the server's state, the key, and light or dark.

import { answerers } from "./answerer.js";
import { server } from "./api.js";
import { questions } from "./ask.js";
import { display } from "./display.js";
import { $, toast } from "./dom.js";
import { keysView } from "./keys.js";
import { layerList } from "./layer-list.js";
import { Layers } from "./layers.js";
import { lookAt } from "./look.js";
import { modelsView } from "./models.js";
import { takeAway } from "./take.js";
import { Viewer } from "./viewer.js";

const viewer = new Viewer($("canvas"));
const layers = new Layers(viewer);
const asking = questions(viewer, layers);
layerList(layers, viewer);
display(viewer, layers);
takeAway(viewer, layers);
lookAt(viewer, layers, asking.stop);
const offer = answerers(async () => {
  await know();
  asking.again();
});
const views = { models: modelsView($("models")), keys: keysView($("keys")) };

function state(kind, text) {
  $("server-state").dataset.state = kind;
  $("server-state").textContent = text;
}

/** Learns who answers; says why nobody does. */
async function meet() {
  try {
    await server.meet();
    $("key-button").hidden = !server.asksForKeys;
    if (server.asksForKeys && !server.key) {
      state("waiting", "A key is needed");
      return;
    }
    await offer();
    await know();
  } catch (error) {
    if (error.code !== "Gone") state("waiting", error.message);
  }
}

/** Learns which model answers, and what it finds. */
async function know() {
  state("waiting", "The model is loading");
  const { path, headers } = server.question("model");
  const model = await server.patient(path, { headers });
  state("ready", `${model.model} · ${model.precision}`);
  $("server-state").title = model.description;
  asking.know(model.targets);
}

function route() {
  const name = ["models", "keys"].includes(location.hash.slice(1)) ? location.hash.slice(1) : "look";
  for (const id of ["look", "models", "keys"]) $(id).hidden = id !== name;
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name === "look" && server.workspace && (server.key || !server.asksForKeys)) offer();
  views[name]?.();
}

addEventListener("hashchange", () => toast(""));

server.addEventListener("gone", () => state("gone", "The server does not answer"));
server.addEventListener("back", () => {
  toast("");
  meet().then(route);
});
server.addEventListener("refused", () => {
  state("waiting", server.key ? "The key is not valid" : "A key is needed");
  if (!$("key-dialog").open) $("key-dialog").showModal();
});
server.addEventListener("key", () => meet().then(route));

$("key-button").addEventListener("click", () => $("key-dialog").showModal());
$("key-form").addEventListener("submit", () => {
  server.key = $("key-input").value.trim();
  $("key-input").value = "";
});
$("key-forget").addEventListener("click", () => {
  server.key = "";
  $("key-dialog").close();
});

const root = document.documentElement;
root.dataset.theme = localStorage.getItem("medparse-theme") ?? "";
$("theme-button").addEventListener("click", () => {
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("medparse-theme", root.dataset.theme);
});

addEventListener("hashchange", route);
addEventListener("unhandledrejection", (event) => toast(event.reason?.message ?? "Something went wrong on this page."));
await meet();
route();
