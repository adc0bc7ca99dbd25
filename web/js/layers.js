// The answers: one layer for each phrase, cut at one threshold, drawn over the picture.

import { cut, dice, outline } from "./mask.js";

/** Colours that stay apart for colour-blind eyes; the order is that of the overlays of `medparse segment`. */
const PALETTE = [
  "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#96ffff", "#a53c2d", "#a569ff",
  "#a5d2a5", "#7800f0", "#875a78", "#c3f0b4", "#96b487", "#69d2ff", "#e1c35a", "#c32dc3", "#8796ff", "#d296c3",
];

/** Dispatches `change` when what is shown has changed. */
export class Layers extends EventTarget {
  list = [];
  threshold = 0.5;
  opacity = 0.45;
  drawing = "both";
  reference = null;
  #used = 0;

  constructor(viewer) {
    super();
    this.viewer = viewer;
    viewer.paint = (context) => this.#paint(context);
  }

  clear() {
    this.list = [];
    this.reference = null;
    this.#used = 0;
    this.#changed();
  }

  find(phrase) {
    return this.list.find((layer) => layer.phrase === phrase);
  }

  /** The layer of a phrase, made where there is none. */
  of(phrase) {
    let layer = this.find(phrase);
    if (!layer) {
      const colour = PALETTE[this.#used++ % PALETTE.length];
      layer = { phrase, colour, visible: true, answers: new Map(), values: null, cuts: new Map() };
      this.list.push(layer);
      this.#changed();
    }
    return layer;
  }

  /** Keeps an answer to a phrase about a slice; probabilities from 0 to 255. */
  put(phrase, scene, plane, index, answer) {
    const layer = this.of(phrase);
    layer.values ??= new Uint8Array(scene.voxels);
    scene.put(layer.values, plane, index, answer.values);
    layer.answers.set(`${plane}/${index}`, answer);
    layer.cuts.clear();
    this.#changed();
  }

  remove(layer) {
    this.list = this.list.filter((other) => other !== layer);
    this.#changed();
  }

  set(change) {
    Object.assign(this, change);
    this.#changed();
  }

  show(layer, visible) {
    layer.visible = visible;
    this.#changed();
  }

  /** The mask of a layer on the slice that is shown, or on another of its plane. */
  cut(layer, index = this.viewer.index) {
    const { scene, plane } = this.viewer;
    const at = `${plane}/${index}`;
    let found = layer.cuts.get(at);
    if (found?.threshold !== this.threshold) {
      const { width } = scene.size(plane);
      found = { threshold: this.threshold, ...cut(scene.take(layer.values, plane, index), width, this.threshold) };
      if (layer.cuts.size > 64) layer.cuts.clear();
      layer.cuts.set(at, found);
    }
    return found;
  }

  /** How well a layer agrees with the reference on this slice; `null` without one. */
  agreement(layer) {
    const { scene, plane, index } = this.viewer;
    return this.reference && dice(this.cut(layer).mask, scene.take(this.reference, plane, index));
  }

  /** Foreground voxels of the whole volume. */
  total(layer) {
    const limit = this.threshold * 255;
    return layer.values.reduce((count, value) => count + (value > limit), 0);
  }

  #changed() {
    this.viewer.draw();
    this.dispatchEvent(new Event("change"));
  }

  #paint(context) {
    const { width, height } = this.viewer.size;
    for (const layer of this.list) {
      if (layer.visible && layer.values) this.paintLayer(context, layer, width, height);
    }
    if (this.reference) this.#paintReference(context, width, height);
  }

  paintLayer(context, layer, width, height, lineWidth = 1.6 * devicePixelRatio) {
    const found = this.cut(layer);
    if (!found.area) return;
    if (this.drawing !== "outline") {
      found.tint ??= tint(found.mask, width, height, layer.colour);
      context.globalAlpha = this.opacity;
      context.drawImage(found.tint, 0, 0);
      context.globalAlpha = 1;
    }
    if (this.drawing !== "fill") {
      found.path ??= outline(found.mask, width, height);
      stroke(context, found.path, layer.colour, lineWidth);
    }
  }

  #paintReference(context, width, height) {
    const { scene, plane, index } = this.viewer;
    const path = outline(scene.take(this.reference, plane, index), width, height);
    stroke(context, path, "#ffffff", 1.2 * devicePixelRatio, [4, 4]);
  }
}

/** Strokes with a width in the screen's pixels, however far the picture is zoomed. */
function stroke(context, path, colour, width, dash = []) {
  const transform = context.getTransform();
  const onScreen = new Path2D();
  onScreen.addPath(path, transform);
  context.save();
  context.resetTransform();
  context.lineCap = "square";
  context.setLineDash(dash.map((length) => length * devicePixelRatio));
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(onScreen);
  context.restore();
}

function tint(mask, width, height, colour) {
  const canvas = new OffscreenCanvas(width, height);
  const image = new ImageData(width, height);
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const ink = 0xff000000 | (blue << 16) | (green << 8) | red;
  const out = new Uint32Array(image.data.buffer);
  for (let at = 0; at < mask.length; at++) if (mask[at]) out[at] = ink;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
