// Threshold, opacity, fill and outline, and a reference to compare with.

import { $, attempt, radios } from "./dom.js";
import { dropping } from "./drop.js";
import { Picture } from "./scenes.js";
import { openVolume } from "./volumes.js";

export function display(viewer, layers) {
  $("threshold").addEventListener("input", () => {
    const threshold = Number($("threshold").value);
    $("threshold-text").textContent = threshold.toFixed(2);
    layers.set({ threshold });
  });
  $("opacity").addEventListener("input", () => {
    const opacity = Number($("opacity").value);
    $("opacity-text").textContent = `${Math.round(opacity * 100)} %`;
    layers.set({ opacity });
  });
  radios($("drawing"), (button) => layers.set({ drawing: button.dataset.drawing }));

  $("reference").addEventListener("click", () => {
    if (!layers.reference) return $("mask-file").click();
    layers.set({ reference: null });
  });
  const compare = ([file]) => attempt(async () => layers.set({ reference: await readMask(file, viewer.scene) }));
  $("mask-file").addEventListener("change", () => {
    const files = [...$("mask-file").files];
    $("mask-file").value = "";
    if (files.length) compare(files);
  });
  dropping($("display"), compare);
  layers.addEventListener("change", () => {
    $("reference").textContent = layers.reference ? "Stop comparing" : "Compare with a mask…";
    $("reference-note").hidden = !layers.reference;
    $("reference-note").textContent = "The dashed line is the reference; each layer shows its Dice.";
  });
}

/** A reference mask of the same size: whatever is not zero is inside. */
async function readMask(file, scene) {
  if (scene.isVolume) {
    const found = await openVolume([file]);
    const [asked, given] = [scene.dimensions.join("×"), found.dimensions.join("×")];
    if (asked !== given) throw new Error(`The mask has ${given} voxels; the volume has ${asked}.`);
    return Uint8Array.from(found.values, (value) => (value > 0 ? 1 : 0));
  }
  const { bitmap } = await Picture.open(file);
  const { width, height } = scene.size();
  if (bitmap.width !== width || bitmap.height !== height) {
    throw new Error(`The mask has ${bitmap.width}×${bitmap.height} pixels; the picture has ${width}×${height}.`);
  }
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(bitmap, 0, 0);
  const { data } = context.getImageData(0, 0, width, height);
  return Uint8Array.from({ length: width * height }, (_, at) => (data[4 * at] || data[4 * at + 1] || data[4 * at + 2] ? 1 : 0));
}
