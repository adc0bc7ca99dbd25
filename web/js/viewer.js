// The canvas: a scene and its layers, zoomed and panned, with a scale bar that is true to the spacing.

const WHEEL = 1.0015;

/** Dispatches `open` (another scene), `move` (plane or slice changed), `tone` (window dragged) and `hover`. */
export class Viewer extends EventTarget {
  scene = null;
  plane = "";
  index = 0;
  /** Draws the layers over the picture, in its pixels. */
  paint = () => {};
  #zoom = 1;
  #center = { x: 0, y: 0 };
  #pointers = new Map();
  #wheel = 0;

  constructor(canvas) {
    super();
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    new ResizeObserver(() => this.#resize()).observe(canvas);
    canvas.addEventListener("wheel", (event) => this.#wheeled(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#moved(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event));
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("dblclick", () => this.fit());
  }

  show(scene) {
    this.scene = scene;
    this.plane = scene.planes[0].id;
    this.index = scene.count(this.plane) >> 1;
    this.fit();
    this.dispatchEvent(new Event("open"));
    this.dispatchEvent(new Event("move"));
  }

  setPlane(plane) {
    this.plane = plane;
    this.index = this.scene.count(plane) >> 1;
    this.fit();
    this.dispatchEvent(new Event("move"));
  }

  setIndex(index) {
    const clamped = Math.min(this.scene.count(this.plane) - 1, Math.max(0, index));
    if (clamped === this.index) return;
    this.index = clamped;
    this.draw();
    this.dispatchEvent(new Event("move"));
  }

  get size() {
    return this.scene.size(this.plane);
  }

  /** Width and height of a pixel, the smaller of them 1. */
  get pixel() {
    const [row, column] = this.size.spacing ?? [1, 1];
    const unit = Math.min(row, column);
    return { x: column / unit, y: row / unit };
  }

  fit() {
    this.#zoom = 1;
    this.#center = { x: this.size.width / 2, y: this.size.height / 2 };
    this.draw();
  }

  zoom(factor, at) {
    if (!this.scene) return;
    const before = at && this.#toPicture(at);
    this.#zoom = Math.min(64, Math.max(0.5, this.#zoom * factor));
    if (before) {
      const after = this.#toPicture(at);
      this.#center.x += before.x - after.x;
      this.#center.y += before.y - after.y;
    }
    this.draw();
  }

  draw() {
    // Several changes of one frame become one drawing.
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = undefined;
      this.render();
    });
  }
  #frame;

  /** Draws now. */
  render() {
    const { context, canvas } = this;
    // Hidden, or not laid out yet.
    if (!canvas.width || !canvas.height) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#0b0c0d";
    context.fillRect(0, 0, canvas.width, canvas.height);
    if (!this.scene) return;
    const { sx, sy, dx, dy } = this.#transform();
    const { width, height } = this.size;
    context.setTransform(sx, 0, 0, sy, dx, dy);
    // Up close the pixels are shown as they are.
    context.imageSmoothingEnabled = Math.min(sx, sy) < 3;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.scene.draw(this.plane, this.index), 0, 0, width, height);
    this.paint(context);
    this.#scaleBar();
  }

  #transform() {
    const { canvas, pixel } = this;
    const { width, height } = this.size;
    const margin = 0.96;
    const fit = margin * Math.min(canvas.width / (width * pixel.x), canvas.height / (height * pixel.y));
    const [sx, sy] = [fit * this.#zoom * pixel.x, fit * this.#zoom * pixel.y];
    return { sx, sy, dx: canvas.width / 2 - this.#center.x * sx, dy: canvas.height / 2 - this.#center.y * sy };
  }

  #toPicture({ x, y }) {
    const { sx, sy, dx, dy } = this.#transform();
    const ratio = devicePixelRatio;
    return { x: (x * ratio - dx) / sx, y: (y * ratio - dy) / sy };
  }

  #scaleBar() {
    const { context, canvas } = this;
    const ratio = devicePixelRatio;
    const { spacing } = this.size;
    const pixels = this.#transform().sx / this.pixel.x / (spacing ? Math.min(...spacing) : 1);
    const target = (110 * ratio) / pixels;
    const power = 10 ** Math.floor(Math.log10(target));
    const length = [5, 2, 1].map((step) => step * power).find((step) => step <= target) ?? power;
    if (!spacing && length < 1) return;
    const text = spacing ? (length >= 10 ? `${length / 10} cm` : `${+length.toPrecision(1)} mm`) : `${length} px`;
    const [x, y, end] = [16 * ratio, canvas.height - 20 * ratio, 16 * ratio + length * pixels];
    context.setTransform(1, 0, 0, 1, 0, 0);
    for (const [style, width] of [["rgb(0 0 0 / .7)", 4], ["#f1f3f4", 1.6]]) {
      context.strokeStyle = style;
      context.lineWidth = width * ratio;
      context.beginPath();
      context.moveTo(x, y - 5 * ratio);
      context.lineTo(x, y);
      context.lineTo(end, y);
      context.lineTo(end, y - 5 * ratio);
      context.stroke();
    }
    context.font = `${12 * ratio}px system-ui, sans-serif`;
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "rgb(0 0 0 / .7)";
    context.strokeText(text, x, y - 10 * ratio);
    context.fillStyle = "#f1f3f4";
    context.fillText(text, x, y - 10 * ratio);
  }

  #resize() {
    const { canvas } = this;
    const ratio = devicePixelRatio;
    canvas.width = Math.round(canvas.clientWidth * ratio);
    canvas.height = Math.round(canvas.clientHeight * ratio);
    this.render();
  }

  #wheeled(event) {
    if (!this.scene) return;
    event.preventDefault();
    if (this.scene.isVolume && !event.ctrlKey) {
      // A notch of a mouse is a slice; a touchpad's small steps add up to one.
      this.#wheel += event.deltaY;
      const steps = Math.trunc(this.#wheel / 40);
      if (steps) {
        this.#wheel -= steps * 40;
        this.setIndex(this.index + Math.sign(steps) * Math.min(Math.abs(steps), 3));
      }
      return;
    }
    this.zoom(WHEEL ** -event.deltaY, { x: event.offsetX, y: event.offsetY });
  }

  #down(event) {
    if (!this.scene) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY, button: event.button });
    this.canvas.classList.add("dragging");
  }

  #moved(event) {
    const at = { x: event.offsetX, y: event.offsetY };
    const held = this.#pointers.get(event.pointerId);
    if (!held) return this.#hover(at);
    const by = { x: at.x - held.x, y: at.y - held.y };
    Object.assign(held, at);
    if (this.#pointers.size === 2) return this.#pinched(event.pointerId, by);
    if (held.button === 2 || event.shiftKey) return this.#toned(by);
    const { sx, sy } = this.#transform();
    this.#center.x -= (by.x * devicePixelRatio) / sx;
    this.#center.y -= (by.y * devicePixelRatio) / sy;
    this.draw();
  }

  #pinched(moved, by) {
    const points = [...this.#pointers];
    const [, here] = points.find(([id]) => id === moved);
    const [, there] = points.find(([id]) => id !== moved);
    const before = Math.hypot(here.x - by.x - there.x, here.y - by.y - there.y);
    const after = Math.hypot(here.x - there.x, here.y - there.y);
    this.zoom(after / Math.max(before, 1), { x: (here.x + there.x) / 2, y: (here.y + there.y) / 2 });
  }

  /** Dragging with the right button (or shift): level up and down, width left and right. */
  #toned(by) {
    const { tone } = this.scene;
    if (!tone) return;
    const width = tone.high - tone.low;
    const step = Math.max(width, 1e-3) / 300;
    const level = (tone.high + tone.low) / 2 - by.y * step;
    const wider = Math.max(width + by.x * step * 2, width / 1000, 1e-3);
    Object.assign(tone, { low: level - wider / 2, high: level + wider / 2 });
    this.draw();
    this.dispatchEvent(new Event("tone"));
  }

  #up(event) {
    this.#pointers.delete(event.pointerId);
    if (!this.#pointers.size) this.canvas.classList.remove("dragging");
  }

  #hover(at) {
    if (!this.scene) return;
    const found = at && this.#toPicture(at);
    const [x, y] = found ? [Math.floor(found.x), Math.floor(found.y)] : [-1, -1];
    const { width, height } = this.size;
    const isInside = x >= 0 && y >= 0 && x < width && y < height;
    this.dispatchEvent(new CustomEvent("hover", { detail: isInside ? { x, y } : null }));
  }

  #key(event) {
    if (!this.scene || event.ctrlKey || event.metaKey || event.altKey) return;
    const pan = 40 * devicePixelRatio;
    const { sx, sy } = this.#transform();
    const by = (x, y) => {
      this.#center.x += x / sx;
      this.#center.y += y / sy;
      this.draw();
    };
    const actions = {
      "+": () => this.zoom(1.25),
      "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8),
      0: () => this.fit(),
      ArrowLeft: () => by(-pan, 0),
      ArrowRight: () => by(pan, 0),
      ArrowUp: () => (this.scene.isVolume ? this.setIndex(this.index - 1) : by(0, -pan)),
      ArrowDown: () => (this.scene.isVolume ? this.setIndex(this.index + 1) : by(0, pan)),
      PageUp: () => this.setIndex(this.index - 10),
      PageDown: () => this.setIndex(this.index + 10),
      Home: () => this.setIndex(0),
      End: () => this.setIndex(Infinity),
    };
    const action = actions[event.key];
    if (!action) return;
    action();
    event.preventDefault();
  }
}
