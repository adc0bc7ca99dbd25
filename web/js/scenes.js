// What can be looked at: one picture, or a volume by planes and slices. Both answer the same calls.

import { toBase64 } from "./bytes.js";

/** One plain picture. The server is asked about the file itself. */
export class Picture {
  isVolume = false;
  planes = [{ id: "picture", label: "Picture" }];
  spacing = null;

  constructor(file, bitmap) {
    this.name = file.name;
    this.files = [file];
    this.bitmap = bitmap;
    this.voxels = bitmap.width * bitmap.height;
  }

  static async open(file) {
    try {
      // The pixels as stored: no turning, no colour profile, as the server reads them.
      const options = { imageOrientation: "none", colorSpaceConversion: "none" };
      return new Picture(file, await createImageBitmap(file, options));
    } catch {
      throw new Error(`${file.name} is not a PNG or JPEG that can be read.`);
    }
  }

  count() {
    return 1;
  }

  size() {
    return { width: this.bitmap.width, height: this.bitmap.height, spacing: null };
  }

  draw() {
    return this.bitmap;
  }

  async encoded() {
    return (this.base64 ??= await toBase64(this.files[0]));
  }

  take(values) {
    return values;
  }

  put(values, plane, index, slice) {
    values.set(slice);
  }

  valueAt() {
    return null;
  }
}

/** Voxels with their planes, as the server read them. */
export class Volume {
  isVolume = true;

  constructor(name, files, header, voxels) {
    this.name = name;
    this.files = files;
    Object.assign(this, header);
    this.values = voxels;
    this.voxels = header.dimensions.reduce((product, side) => product * side, 1);
    // What the viewer may drag; colours have no window.
    this.tone = header.tone && { ...header.tone };
    this.isGray = header.kind !== "rgb8";
  }

  #plane(id) {
    return this.planes.find((plane) => plane.id === id);
  }

  count(id) {
    return this.#plane(id).slices;
  }

  size(id) {
    const { width, height, spacing } = this.#plane(id);
    return { width, height, spacing };
  }

  draw(id, index) {
    const { width, height } = this.#plane(id);
    if (this.canvas?.width !== width || this.canvas?.height !== height) {
      this.canvas = new OffscreenCanvas(width, height);
      this.pixels = new ImageData(width, height);
    }
    const out = new Uint32Array(this.pixels.data.buffer);
    if (this.isGray) this.#gray(id, index, out);
    else this.#colour(id, index, out);
    this.canvas.getContext("2d").putImageData(this.pixels, 0, 0);
    return this.canvas;
  }

  #gray(id, index, out) {
    const { low, high } = this.tone;
    const scale = 255 / Math.max(high - low, 1e-6);
    const { values } = this;
    const flip = this.inverted ? 255 : 0;
    this.#walk(id, index, (from, to) => {
      const level = Math.min(255, Math.max(0, (values[from] - low) * scale + 0.5)) | 0;
      out[to] = 0xff000000 | ((level ^ flip) * 0x010101);
    });
  }

  #colour(id, index, out) {
    const { values } = this;
    this.#walk(id, index, (from, to) => {
      out[to] = 0xff000000 | (values[3 * from + 2] << 16) | (values[3 * from + 1] << 8) | values[3 * from];
    });
  }

  /** Visits the voxels of a slice in the order of its pixels. */
  #walk(id, index, visit) {
    const { width, height, start, across, down, through } = this.#plane(id);
    let row = start + index * through;
    for (let y = 0, to = 0; y < height; y++, row += down) {
      for (let x = 0, from = row; x < width; x++, from += across) visit(from, to++);
    }
  }

  /** The slice as the window shows it, as a PNG: what is seen is what is asked. */
  async encoded(id, index) {
    return toBase64(await this.draw(id, index).convertToBlob({ type: "image/png" }));
  }

  take(values, id, index) {
    const { width, height } = this.#plane(id);
    const slice = new Uint8Array(width * height);
    this.#walk(id, index, (from, to) => (slice[to] = values[from]));
    return slice;
  }

  put(values, id, index, slice) {
    this.#walk(id, index, (from, to) => (values[from] = slice[to]));
  }

  valueAt(id, index, x, y) {
    if (!this.isGray) return null;
    const { start, across, down, through } = this.#plane(id);
    return this.values[start + index * through + y * down + x * across];
  }
}
