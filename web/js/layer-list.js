// The list of layers beside the picture: what was found, how much of it, and how sure that is.

import { $, el } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function layerList(layers, viewer) {
  const rows = new Map();
  const update = () => {
    const { list } = layers;
    for (const [layer, row] of rows) {
      if (!list.includes(layer)) row.root.remove(), rows.delete(layer);
    }
    for (const layer of list) {
      if (!rows.has(layer)) {
        rows.set(layer, row(layer, layers));
        $("layers").append(rows.get(layer).root);
      }
      fill(rows.get(layer), layer);
    }
    $("no-layers").hidden = list.length > 0;
    $("display").hidden = $("take").hidden = !list.some((layer) => layer.values);
  };

  function fill({ root, facts, box }, layer) {
    root.classList.toggle("off", !layer.visible);
    box.checked = layer.visible;
    facts.replaceChildren(...sentences(layer));
  }

  function sentences(layer) {
    const { scene, plane, index } = viewer;
    const answer = layer.answers.get(`${plane}/${index}`);
    if (!layer.values) return [el("span", { textContent: "Asking…" })];
    const found = layers.cut(layer);
    const { spacing } = scene.size(plane);
    const parts = [];
    if (answer) {
      parts.push(el("strong", { textContent: answer.category }));
      if (answer.presence != null) parts.push(` · present ${Math.round(answer.presence * 100)} %`);
      parts.push(el("br"));
    } else if (!layer.answers.size) {
      return ["Not asked yet"];
    } else if (!found.area) {
      return ["Not asked on this slice"];
    }
    parts.push(found.area ? `${whole.format(found.area)} px` : "Nothing above the threshold");
    if (found.area && spacing) parts.push(` · ${short.format(found.area * spacing[0] * spacing[1])} mm²`);
    if (found.box) {
      const { x0, y0, x1, y1 } = found.box;
      parts.push(` · box ${x1 - x0}×${y1 - y0} at ${x0}, ${y0}`);
    }
    const dice = layers.agreement(layer);
    if (dice != null) parts.push(el("br"), "Dice ", el("strong", { textContent: dice.toFixed(3) }));
    if (layer.answers.size > 1) {
      const voxels = layers.total(layer);
      const ml = scene.voxelVolume ? ` · ${short.format((voxels * scene.voxelVolume) / 1000)} ml` : "";
      parts.push(el("br"), `${layer.answers.size} slices · ${whole.format(voxels)} voxels${ml}`);
    }
    for (const warning of answer?.warnings ?? []) parts.push(el("span", { className: "warn", textContent: warning }));
    return parts;
  }

  layers.addEventListener("change", update);
  viewer.addEventListener("move", update);
}

function row(layer, layers) {
  const box = el("input", {
    type: "checkbox",
    className: "swatch",
    aria: { label: `Show ${layer.phrase}` },
    on: { change: () => layers.show(layer, box.checked) },
  });
  const remove = el(
    "button",
    { type: "button", className: "remove", aria: { label: `Remove ${layer.phrase}` }, on: { click: () => layers.remove(layer) } },
    "×",
  );
  const facts = el("div", { className: "facts" });
  const name = el("span", { className: "name", textContent: layer.phrase });
  const root = el("li", { className: "layer" }, box, name, remove, facts);
  root.style.setProperty("--swatch", layer.colour);
  return { root, facts, box };
}
