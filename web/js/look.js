// Opening pictures, and the controls around the viewer.

import { $, attempt, el, radios, toast } from "./dom.js";
import { dropping } from "./drop.js";
import { Picture } from "./scenes.js";
import { openVolume, WINDOWS } from "./volumes.js";

const PLAIN = /\.(png|jpe?g)$/i;

export function lookAt(viewer, layers, stop) {
  async function show(scene) {
    stop();
    layers.clear();
    $("welcome").hidden = true;
    $("tools").hidden = false;
    $("readout").textContent = "";
    $("ask-note").textContent = "";
    viewer.show(scene);
    planes(scene);
    tones(scene);
    $("slices").hidden = $("volume-options").hidden = !scene.isVolume || scene.voxels === viewer.size.width * viewer.size.height;
    if (scene.warnings?.length) toast(scene.warnings.join(" "));
  }

  async function open(files) {
    files = [...files].filter((file) => !file.name.startsWith("."));
    if (!files.length) return;
    $("busy").hidden = false;
    $("busy-text").textContent = "Reading…";
    await attempt(async () => {
      const [file] = files;
      const isPlain = files.length === 1 && (PLAIN.test(file.name) || /^image\/(png|jpeg)$/.test(file.type));
      await show(isPlain ? await Picture.open(file) : await openVolume(files));
    });
    $("busy").hidden = true;
  }

  function planes(scene) {
    const button = ({ id, label }, at) =>
      el("button", { type: "button", role: "radio", data: { plane: id }, aria: { checked: String(at === 0) } }, label);
    $("planes").hidden = scene.planes.length < 2;
    $("planes").replaceChildren(...scene.planes.map(button));
    markPlane();
  }

  function markPlane() {
    for (const button of $("planes").children) {
      const chosen = button.dataset.plane === viewer.plane;
      button.setAttribute("aria-checked", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }

  function tones(scene) {
    $("tone-box").hidden = !scene.tone;
    if (!scene.tone) return;
    const presets = { Automatic: [scene.tone.low, scene.tone.high], ...(scene.modality === "CT" ? WINDOWS : {}) };
    if (scene.stored) presets["As stored"] = [scene.stored.low, scene.stored.high];
    presets["Full range"] = scene.range;
    const options = Object.entries(presets).map(([name, [low, high]]) => el("option", { textContent: name, data: { low, high } }));
    $("tone").replaceChildren(...options, el("option", { textContent: "By hand", hidden: true, value: "hand" }));
    toneText();
  }

  function toneText() {
    const { low, high } = viewer.scene.tone;
    $("tone-values").textContent = `${Math.round(low)} to ${Math.round(high)}`;
  }

  radios($("planes"), (button) => viewer.setPlane(button.dataset.plane));
  $("tone").addEventListener("change", () => {
    const { low, high } = $("tone").selectedOptions[0].dataset;
    Object.assign(viewer.scene.tone, { low: Number(low), high: Number(high) });
    toneText();
    viewer.draw();
  });
  viewer.addEventListener("tone", () => {
    $("tone").value = "hand";
    toneText();
  });
  viewer.addEventListener("move", () => {
    const { scene, plane, index } = viewer;
    const { width, height } = viewer.size;
    $("slice").max = scene.count(plane) - 1;
    $("slice").value = index;
    $("slice-text").textContent = `${index + 1} / ${scene.count(plane)}`;
    const place = scene.isVolume ? `, slice ${index + 1} of ${scene.count(plane)}` : "";
    $("canvas").setAttribute("aria-label", `${scene.name}, ${width} by ${height} pixels${place}`);
  });
  viewer.addEventListener("hover", ({ detail }) => {
    if (!detail) return;
    const value = viewer.scene.valueAt(viewer.plane, viewer.index, detail.x, detail.y);
    $("readout").textContent = `${detail.x}, ${detail.y}${value == null ? "" : ` · ${Math.round(value * 100) / 100}`}`;
  });
  $("slice").addEventListener("input", () => viewer.setIndex(Number($("slice").value)));
  $("zoom-in").addEventListener("click", () => viewer.zoom(1.25));
  $("zoom-out").addEventListener("click", () => viewer.zoom(0.8));
  $("zoom-fit").addEventListener("click", () => viewer.fit());

  for (const id of ["choose", "open"]) $(id).addEventListener("click", () => $("file").click());
  $("choose-folder").addEventListener("click", () => $("folder").click());
  for (const input of [$("file"), $("folder")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";
      open(files);
    });
  }
  $("example").addEventListener("click", () =>
    attempt(async () => {
      const reply = await fetch("example.png");
      await open([new File([await reply.blob()], "cells.png", { type: "image/png" })]);
    }),
  );
  dropping($("stage"), open);
  return { open };
}
