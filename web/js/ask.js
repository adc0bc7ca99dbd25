// Questions: phrases, suggestions from the model's own targets, whole volumes, and the way to cancel.

import { server } from "./api.js";
import { fromBase64 } from "./bytes.js";
import { $, attempt, el } from "./dom.js";

export function questions(viewer, layers) {
  let groups = [];
  /** What is being asked: tasks, and the way to end them. */
  let work = null;

  const joint = () => $("joint").checked;

  /** One question about one slice; the answers become layers. */
  async function ask(phrases, index, signal) {
    const { scene, plane } = viewer;
    const request = {
      image: await scene.encoded(plane, index),
      prompts: phrases,
      together: joint() ? "joint" : "alone",
    };
    const { path, headers } = server.question("segment");
    const reply = await server.patient(path, { json: request, headers, signal });
    if (viewer.scene !== scene) return null;
    reply.prompts.forEach((answer, at) => {
      const mine = reply.warnings.filter(({ message }) => message.startsWith(`sentence ${at + 1}:`));
      layers.put(answer.prompt, scene, plane, index, {
        category: answer.category,
        presence: answer.presence,
        similarity: answer.similarity,
        values: fromBase64(answer.probabilities),
        warnings: mine.map(({ message }) => sentence(message.replace(/^sentence \d+: /, ""))),
      });
    });
    return reply;
  }

  /** Does tasks one after the other; what is asked meanwhile comes after them. */
  async function enqueue(tasks, word) {
    if (work && !work.controller.signal.aborted) {
      work.tasks.push(...tasks);
      return;
    }
    const mine = (work = { tasks: [...tasks], controller: new AbortController() });
    busy(true);
    try {
      for (let at = 0; at < mine.tasks.length; at++) {
        $("progress").hidden = mine.tasks.length < 2;
        $("progress-bar").value = at / mine.tasks.length;
        $("progress-text").textContent = `${word} ${at + 1} of ${mine.tasks.length}`;
        const reply = await mine.tasks[at](mine.controller.signal);
        if (reply) timing(reply);
      }
    } finally {
      if (work === mine) {
        work = null;
        $("progress").hidden = true;
        busy(false);
        for (const layer of layers.list.filter((layer) => !layer.values)) layers.remove(layer);
      }
    }
  }

  function busy(is) {
    $("busy").hidden = !is;
    $("busy-text").textContent = "The model is looking…";
  }

  function timing({ timing, model, precision }) {
    const seconds = (timing.encode_ms + timing.ask_ms) / 1000;
    const seen = timing.cached ? "the picture was known" : "the picture was new";
    $("readout").textContent = `${model} · ${precision} · ${seconds.toFixed(2)} s · ${seen}`;
  }

  /** Asks about the slice that is shown; a phrase that is there already is asked again. */
  function askHere(phrases) {
    if (!viewer.scene) {
      $("ask-note").textContent = "Open a picture first.";
      return;
    }
    for (const phrase of phrases) layers.of(phrase);
    note(phrases);
    const { index } = viewer;
    const all = joint() ? layers.list.map((layer) => layer.phrase) : phrases;
    const tasks = joint()
      ? [(signal) => ask(all, index, signal)]
      : all.map((phrase) => (signal) => ask([phrase], index, signal));
    return attempt(() => enqueue(tasks, "Phrase"));
  }

  function askWhole() {
    const phrases = layers.list.map((layer) => layer.phrase);
    if (!phrases.length) {
      $("ask-note").textContent = "Ask a phrase first; then every slice is asked for it.";
      return;
    }
    const count = viewer.scene.count(viewer.plane);
    const tasks = Array.from({ length: count }, (_, index) => (signal) => ask(phrases, index, signal));
    return attempt(() => enqueue(tasks, "Slice"));
  }

  /** What the model was not trained to find is said before it answers. */
  function note(phrases) {
    const known = groups.flatMap((group) => group.targets.map((target) => target.toLowerCase()));
    const foreign = phrases.filter((phrase) => !known.some((target) => phrase.toLowerCase().includes(target)));
    $("ask-note").textContent =
      known.length && foreign.length
        ? `${foreign.map((phrase) => `“${phrase}”`).join(", ")}: not among what this model was trained to find.`
        : "";
  }

  function suggest() {
    const group = groups.find((group) => group.modality === $("modality").value) ?? groups[0];
    const chip = (target) => {
      const asked = layers.find(target) ? "asked" : "";
      return el("button", { type: "button", className: asked, on: { click: () => askHere([target]) } }, target);
    };
    $("suggestions").replaceChildren(...(group?.targets ?? []).slice(0, 24).map(chip));
  }

  /** Asks everything again: jointly or not, or because somebody else answers. */
  function again() {
    if (layers.list.length && viewer.scene) askHere(layers.list.map((layer) => layer.phrase));
  }

  $("ask-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const phrases = $("phrase").value.split("&").map((phrase) => phrase.trim()).filter(Boolean);
    if (!phrases.length) return;
    $("phrase").value = "";
    askHere([...new Set(phrases)]);
  });
  $("modality").addEventListener("change", suggest);
  $("everything").addEventListener("click", () => {
    const group = groups.find((group) => group.modality === $("modality").value);
    if (group) askHere(group.targets);
  });
  $("joint").addEventListener("change", again);
  $("whole").addEventListener("click", askWhole);
  $("cancel").addEventListener("click", () => work?.controller.abort());
  layers.addEventListener("change", suggest);

  return {
    /** The model that answers has changed. */
    know(targets) {
      groups = targets;
      const names = groups.map(({ modality }) => el("option", { value: modality, textContent: modality }));
      $("modality").replaceChildren(...names);
      $("suggest-row").hidden = !groups.length;
      suggest();
    },
    again,
    stop: () => work?.controller.abort(),
  };
}

function sentence(text) {
  const begun = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
