// Shows one inspected image: as it is, as a normal wafer would look, how far the two depart, and that laid over the
// image. All views share one zoom, one place and one window, so that the eye compares the same spot.
//
// <section data-viewer data-image="URL" data-expected="URL" data-deviation="URL" data-scale='{"top":..,"stops":[..]}'>
// holds a canvas for each view. Without data-expected and data-deviation their views are not there: what the server did
// not say cannot be shown. Colours are those of the model's fixed scale, never fitted to this image.
//
//   viewerOf(section).show({ image, expected, deviation })   another image, or the rest of a blind one; a promise
//   viewerOf(section).preload([{ image, ... }, ...])         the next images, into the browser's cache
//   event "viewer:shown" on the section                      once everything is on the screen

const SIDE = 256;
const MAX_ZOOM = 24;
const LINE = 240; // of a step with the keys, in parts of the view
const OVERLAY_FLOOR = 0.12; // below this part of the scale nothing is laid over the image
const BACKGROUND = { "X-Background": "1" };
const viewers = new WeakMap();

export const viewerOf = (section) => viewers.get(section);

async function planeOf(url) {
  const answer = await fetch(url, { headers: BACKGROUND });
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    if (told.error === "SessionLocked") dispatchEvent(new Event("waferlens:locked"));
    throw new Error(told.title ?? `the service answers ${answer.status}`);
  }
  const bitmap = await createImageBitmap(await answer.blob(), { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const bytes = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const wide = answer.headers.get("X-Bits") === "16";
  const values = new Float32Array(bitmap.width * bitmap.height);
  for (let i = 0; i < values.length; i++) {
    values[i] = wide ? (256 * bytes[4 * i] + bytes[4 * i + 1]) / 65535 : bytes[4 * i] / 255;
  }
  return { values, width: bitmap.width, height: bitmap.height };
}

function coloursOf(stops) {
  const table = new Uint8Array(256 * 3);
  for (let i = 0; i < 256; i++) {
    const place = i / 255;
    const after = Math.max(1, stops.findIndex(([at]) => at >= place));
    const [[low, from], [high, to]] = [stops[after - 1], stops[after]];
    const part = (place - low) / (high - low);
    for (let c = 0; c < 3; c++) table[3 * i + c] = Math.round(from[c] + part * (to[c] - from[c]));
  }
  return table;
}

class Viewer {
  constructor(section) {
    this.section = section;
    this.scale = JSON.parse(section.dataset.scale);
    this.colours = coloursOf(this.scale.stops);
    this.view = { zoom: 1, x: SIDE / 2, y: SIDE / 2 };
    this.window = { low: 0, high: 1 };
    this.planes = {};
    this.sheets = {};
    this.canvases = [...section.querySelectorAll("canvas[data-shows]")];
    this.problem = section.querySelector("[data-problem]");
    this.mix = 0.6;
    this.asked = 0;
    this.connect();
    new ResizeObserver(() => this.draw()).observe(section);
    this.show({ ...section.dataset });
  }

  // ---- what is shown

  async show({ image, expected, deviation }) {
    const asked = ++this.asked;
    this.problem.hidden = true;
    const wanted = { image, expected, deviation };
    try {
      const names = Object.keys(wanted).filter((name) => wanted[name]);
      const planes = await Promise.all(names.map((name) => planeOf(wanted[name])));
      if (asked !== this.asked) return; // somebody went on meanwhile
      this.planes = Object.fromEntries(names.map((name, i) => [name, planes[i]]));
    } catch (error) {
      if (asked !== this.asked) return;
      this.planes = {};
      this.problem.textContent = `The picture cannot be shown: ${error.message}.`;
      this.problem.hidden = false;
    }
    this.section.classList.toggle("alone", !this.planes.deviation);
    this.paint();
    requestAnimationFrame(() => {
      this.section.dataset.shown = image ?? "";
      this.section.dispatchEvent(new CustomEvent("viewer:shown", { bubbles: true, detail: { image } }));
    });
  }

  preload(pictures) {
    for (const { image, expected, deviation } of pictures) {
      for (const url of [image, expected, deviation]) if (url) fetch(url, { headers: BACKGROUND, priority: "low" }).catch(() => {});
    }
  }

  // ---- numbers to pixels

  paint() {
    const { image, expected, deviation } = this.planes;
    this.sheets = {};
    if (image) this.sheets.image = this.sheet(image, (value, put) => put(this.windowed(value)));
    if (expected) this.sheets.expected = this.sheet(expected, (value, put) => put(this.windowed(value)));
    if (deviation) {
      const colours = this.colours;
      const colour = (value, put, alpha) => {
        const at = 3 * Math.round(255 * value);
        put(colours[at], colours[at + 1], colours[at + 2], alpha);
      };
      this.sheets.deviation = this.sheet(deviation, (value, put) => colour(value, put, 255));
      this.sheets.over = this.sheet(deviation, (value, put) => {
        colour(value, put, 255 * Math.min(1, Math.max(0, (value - OVERLAY_FLOOR) / (3 * OVERLAY_FLOOR))));
      });
    }
    this.draw();
  }

  windowed(value) {
    const { low, high } = this.window;
    return 255 * Math.min(1, Math.max(0, (value - low) / Math.max(high - low, 1e-4)));
  }

  sheet({ values, width, height }, colour) {
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext("2d");
    const pixels = context.createImageData(width, height);
    let at = 0;
    const put = (red, green = red, blue = red, alpha = 255) => {
      pixels.data[at++] = red;
      pixels.data[at++] = green;
      pixels.data[at++] = blue;
      pixels.data[at++] = alpha;
    };
    for (const value of values) colour(value, put);
    context.putImageData(pixels, 0, 0);
    return canvas;
  }

  draw() {
    for (const canvas of this.canvases) {
      const side = Math.round(canvas.clientWidth * devicePixelRatio);
      if (side === 0) continue;
      if (canvas.width !== side) canvas.width = canvas.height = side;
      const context = canvas.getContext("2d");
      const scale = (side / SIDE) * this.view.zoom;
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.clearRect(0, 0, side, side);
      context.setTransform(scale, 0, 0, scale, side / 2 - scale * this.view.x, side / 2 - scale * this.view.y);
      context.imageSmoothingEnabled = scale < 3; // single pixels of the camera are to be seen as such
      context.imageSmoothingQuality = "high";
      this.lay(context, canvas.dataset.shows, side);
    }
    const told = this.section.querySelector("[data-zoom-told]");
    if (told) told.textContent = `${this.view.zoom < 10 ? this.view.zoom.toFixed(1) : Math.round(this.view.zoom)}×`;
  }

  lay(context, shows, side) {
    const { image, expected, deviation, over } = this.sheets;
    const put = (sheet, alpha = 1) => {
      if (!sheet) return;
      context.globalAlpha = alpha;
      context.drawImage(sheet, 0, 0, SIDE, SIDE);
      context.globalAlpha = 1;
    };
    if (shows === "image") put(image);
    if (shows === "expected") put(expected);
    if (shows === "deviation") put(deviation);
    if (shows === "overlay") {
      put(image);
      put(over, 0.75);
    }
    if (shows === "one") {
      put(image);
      if (this.section.dataset.against === "expected" && expected) {
        const edge = (this.mix * side - context.getTransform().e) / context.getTransform().a;
        context.save();
        context.beginPath();
        context.rect(edge, -SIDE, 4 * SIDE, 4 * SIDE);
        context.clip();
        put(expected);
        context.restore();
        context.fillStyle = "#ffd75a";
        context.fillRect(edge, -SIDE, 2 / context.getTransform().a, 4 * SIDE);
      } else {
        put(over, this.mix);
      }
    }
  }

  // ---- hands and keys

  connect() {
    const { section } = this;
    section.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) this.act(button.dataset.do);
    });
    section.addEventListener("input", ({ target }) => {
      if (target.dataset.window) this.setWindow();
      if (target.dataset.mix !== undefined) {
        this.mix = Number(target.value) / 100;
        this.draw();
      }
    });
    for (const canvas of this.canvases) {
      canvas.addEventListener("wheel", (event) => this.wheel(event, canvas), { passive: false });
      canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
      canvas.addEventListener("pointermove", (event) => {
        if (!canvas.hasPointerCapture(event.pointerId)) return;
        const scale = (canvas.clientWidth / SIDE) * this.view.zoom;
        this.move(-event.movementX / scale, -event.movementY / scale);
      });
      canvas.addEventListener("dblclick", () => this.act(this.view.zoom > 1 ? "fit" : "in"));
    }
    document.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const elsewhere = event.target.closest?.("input, select, textarea, dialog, [data-own-keys]");
    if (elsewhere || event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
    const what = {
      "+": "in", "=": "in", "-": "out", 0: "fit", v: "view", w: "auto", e: "against",
      ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    }[event.key];
    if (!what || (what.length > 3 && event.key.startsWith("Arrow") && this.view.zoom === 1)) return;
    event.preventDefault();
    this.act(what);
  }

  act(what) {
    const step = LINE / SIDE / this.view.zoom * 16;
    const { section } = this;
    switch (what) {
      case "in": return this.zoomTo(this.view.zoom * 1.5);
      case "out": return this.zoomTo(this.view.zoom / 1.5);
      case "fit": return this.zoomTo(1);
      case "left": return this.move(-step, 0);
      case "right": return this.move(step, 0);
      case "up": return this.move(0, -step);
      case "down": return this.move(0, step);
      case "auto": return this.autoWindow();
      case "whole": return this.putWindow(0, 1);
      case "view":
        section.dataset.layout = section.dataset.layout === "one" ? "side" : "one";
        return this.told();
      case "against":
        section.dataset.layout = "one";
        section.dataset.against = section.dataset.against === "expected" ? "deviation" : "expected";
        return this.told();
    }
  }

  told() {
    for (const button of this.section.querySelectorAll("[data-pressed-when]")) {
      const [name, value] = button.dataset.pressedWhen.split("=");
      button.setAttribute("aria-pressed", String(this.section.dataset[name] === value));
    }
    this.draw();
  }

  wheel(event, canvas) {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    const scale = (canvas.clientWidth / SIDE) * this.view.zoom;
    const at = [(event.clientX - box.left - box.width / 2) / scale, (event.clientY - box.top - box.height / 2) / scale];
    this.zoomTo(this.view.zoom * Math.exp(-event.deltaY / 400), at);
  }

  zoomTo(zoom, [x, y] = [0, 0]) {
    const before = this.view.zoom;
    this.view.zoom = Math.min(MAX_ZOOM, Math.max(1, zoom));
    const part = 1 - before / this.view.zoom;
    this.move(x * part, y * part);
  }

  move(x, y) {
    const half = SIDE / 2 / this.view.zoom;
    const within = (value) => Math.min(SIDE - half, Math.max(half, value));
    this.view.x = within(this.view.x + x);
    this.view.y = within(this.view.y + y);
    this.draw();
  }

  setWindow() {
    const [level, width] = ["level", "width"].map(
      (name) => Number(this.section.querySelector(`[data-window="${name}"]`).value) / 100);
    this.window = { low: level - width / 2, high: level + width / 2 };
    this.paint();
  }

  putWindow(low, high) {
    this.window = { low, high };
    const put = (name, value) => (this.section.querySelector(`[data-window="${name}"]`).value = Math.round(100 * value));
    put("level", (low + high) / 2);
    put("width", high - low);
    this.paint();
  }

  autoWindow() {
    if (!this.planes.image) return;
    const sorted = Float32Array.from(this.planes.image.values).sort();
    this.putWindow(sorted[Math.floor(0.005 * sorted.length)], sorted[Math.floor(0.995 * sorted.length)]);
  }
}

function mount() {
  for (const section of document.querySelectorAll("[data-viewer]")) {
    if (!viewers.has(section)) viewers.set(section, new Viewer(section));
  }
}

mount();
document.addEventListener("renewed", mount);
