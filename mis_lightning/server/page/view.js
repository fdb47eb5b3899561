// The canvas: where the image lies on the screen, and everything drawn over it.

import { Overlay, colourOf, inkOn } from "./masks.js";

const LARGEST = 40; // screen pixels for a pixel of the image

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.opacity = 0.45;
    this.hidden = false;
    this.outlines = false; // without the fills
    this.moving = null; // {index, row, col}: the click that is being moved, and where it is
    this.onzoom = () => {};
    this.layers = []; // (context) => …: draw over the masks and below the clicks, in CSS pixels of the canvas
    this.ground = new Layer(); // the picture as it lies
    this.still = new Layer(); // and the masks: what clicks in waiting and moving lines do not change
    this.clear();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.followScreen();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  /** A window moved to a screen of another pixel ratio keeps its size, so no ResizeObserver tells. */
  followScreen() {
    const asked = matchMedia(`(resolution: ${window.devicePixelRatio || 1}dppx)`);
    asked.addEventListener("change", () => {
      this.resize();
      this.followScreen();
    }, { once: true });
  }

  clear() {
    this.picture = null;
    this.objects = [];
    this.pending = [];
    this.rubber = null; // {box: [top, left, bottom, right]} or {line: [[row, col], …], positive}
    this.cross = null; // {row, col}, moved by the arrow keys
    this.overlay = null;
    this.draw();
  }

  /** Show an image of height x width pixels; the picture may have fewer. `stay`: where the one before lay, if as large. */
  open(picture, height, width, stay = false) {
    const same = stay && this.picture && this.height === height && this.width === width;
    const { scale, x, y, fitted } = this;
    this.clear();
    this.picture = picture;
    this.height = height;
    this.width = width;
    this.overlay = new Overlay(height, width);
    if (!same) {
      this.fit();
      return;
    }
    Object.assign(this, { scale, x, y });
    this.moved(fitted);
  }

  /** Show objects: [{id, mask, clicks, active}]. Drawn at once, so that its time can be measured. */
  show(objects) {
    this.objects = objects;
    this.overlay?.draw(objects.map(({ id, mask }) => [id, mask]));
    this.paint();
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    const fitted = this.fitted;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    if (fitted && this.picture) this.fit();
    this.paint();
  }

  fit() {
    const { clientWidth, clientHeight } = this.canvas;
    const margin = Math.min(16, clientWidth / 20);
    this.scale = Math.min((clientWidth - 2 * margin) / this.width, (clientHeight - 2 * margin) / this.height, LARGEST);
    this.x = (clientWidth - this.width * this.scale) / 2;
    this.y = (clientHeight - this.height * this.scale) / 2;
    this.moved(true);
  }

  /** Zoom; the point of the image under (x, y) stays there. */
  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    if (!this.picture) return;
    const smallest = Math.min(0.02, 100 / Math.max(this.width, this.height));
    const scale = Math.max(smallest, Math.min(LARGEST, this.scale * factor));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.moved(false);
  }

  pan(dx, dy) {
    if (!this.picture) return;
    this.x += dx;
    this.y += dy;
    this.moved(false);
  }

  moved(fitted) {
    const { clientWidth, clientHeight } = this.canvas;
    const keep = 40; // screen pixels of the image that stay in sight
    this.x = Math.min(clientWidth - keep, Math.max(keep - this.width * this.scale, this.x));
    this.y = Math.min(clientHeight - keep, Math.max(keep - this.height * this.scale, this.y));
    this.fitted = fitted;
    this.onzoom(this.scale);
    this.draw();
  }

  /** Pixel of the image at a place on the canvas, centres at integers; null beside the image. */
  at(x, y) {
    if (!this.picture) return null;
    const [row, col] = [(y - this.y) / this.scale, (x - this.x) / this.scale];
    if (row < 0 || col < 0 || row >= this.height || col >= this.width) return null;
    return { row: Math.floor(row), col: Math.floor(col) };
  }

  /** The same, but the nearest pixel where the place is beside the image. */
  near(x, y) {
    const row = Math.floor((y - this.y) / this.scale);
    const col = Math.floor((x - this.x) / this.scale);
    return { row: Math.max(0, Math.min(this.height - 1, row)), col: Math.max(0, Math.min(this.width - 1, col)) };
  }

  place({ row, col }) {
    return [this.x + (col + 0.5) * this.scale, this.y + (row + 0.5) * this.scale];
  }

  /** Draw before the next frame. */
  draw() {
    this.asked ??= requestAnimationFrame(() => this.paint());
  }

  paint() {
    if (this.asked) cancelAnimationFrame(this.asked);
    this.asked = null;
    const { context, canvas, picture, x, y, scale } = this;
    const ratio = window.devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (!picture) return;
    const [width, height] = [this.width * scale, this.height * scale];
    const ground = this.ground.drawn([picture, x, y, scale, ratio, canvas.width, canvas.height], canvas, ratio, (layer) => {
      layer.imageSmoothingEnabled = scale < 3;
      layer.imageSmoothingQuality = scale < 0.5 ? "medium" : "low";
      layer.drawImage(picture, x, y, width, height);
    });
    const still = this.still.drawn([...this.ground.key, this.objects, this.opacity, this.hidden, this.outlines], canvas, ratio, (layer) => {
      layer.drawImage(ground, 0, 0, canvas.width / ratio, canvas.height / ratio);
      if (this.hidden) return;
      layer.imageSmoothingEnabled = scale < 1;
      layer.globalAlpha = this.opacity;
      if (!this.outlines) layer.drawImage(this.overlay.canvas, x, y, width, height);
      layer.globalAlpha = 1;
      for (const object of this.objects) if (!object.active) this.outline(layer, object.mask?.outline, colourOf(object.id), 1.5);
      for (const object of this.objects) if (object.active) this.outline(layer, object.mask?.outline, colourOf(object.id), 2.5);
    });
    context.drawImage(still, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    for (const draw of this.layers) {
      context.save();
      draw(context);
      context.restore();
    }
    const active = this.objects.find((object) => object.active);
    active?.clicks.forEach((click, i) => {
      const moved = this.moving?.index === i;
      this.dot(moved ? { ...this.moving, positive: click.positive } : click, moved);
    });
    for (const click of this.pending) this.dot(click, true);
    if (this.rubber) this.drawRubber();
    if (this.cross) this.drawCross();
  }

  outline(context, path, colour, thick) {
    if (!path) return;
    context.save();
    context.translate(this.x, this.y);
    context.scale(this.scale, this.scale);
    context.lineCap = "square";
    context.strokeStyle = inkOn(colour) === "#fff" ? "rgb(255 255 255 / .75)" : "rgb(0 0 0 / .6)";
    context.lineWidth = (thick + 2) / this.scale;
    context.stroke(path);
    context.strokeStyle = colour;
    context.lineWidth = thick / this.scale;
    context.stroke(path);
    context.restore();
  }

  drawLevels(context, levels) {
    const { scale } = this;
    context.imageSmoothingEnabled = scale < 1;
    context.globalAlpha = Math.max(0.35, this.opacity);
    context.drawImage(levels.overlay.canvas, this.x, this.y, this.width * scale, this.height * scale);
    context.globalAlpha = 1;
    this.outline(context, levels.mask.outline, "#ffffff", 2);
    this.dot({ row: levels.row, col: levels.col, positive: true }, true);
  }

  /** A click: a plus on light, or a minus on dark; hollow while unanswered. */
  dot(click, pending) {
    const context = this.context;
    const [x, y] = this.place(click);
    const radius = 8;
    const [ground, ink] = click.positive ? ["#ffffff", "#00674a"] : ["#8f1d0e", "#ffffff"];
    context.beginPath();
    if (click.positive) context.arc(x, y, radius, 0, 2 * Math.PI);
    else context.rect(x - radius + 1, y - radius + 1, 2 * radius - 2, 2 * radius - 2);
    context.globalAlpha = pending ? 0.6 : 1;
    context.fillStyle = ground;
    context.fill();
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeStyle = click.positive ? "#00674a" : "#ffffff";
    context.setLineDash(pending ? [3, 3] : []);
    context.stroke();
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(x - 4, y);
    context.lineTo(x + 4, y);
    if (click.positive) {
      context.moveTo(x, y - 4);
      context.lineTo(x, y + 4);
    }
    context.lineWidth = 2;
    context.strokeStyle = ink;
    context.stroke();
  }

  drawRubber() {
    const { context, rubber } = this;
    const trace = new Path2D();
    if (rubber.box) {
      const [top, left, bottom, right] = rubber.box;
      const [x, y] = [this.x + left * this.scale, this.y + top * this.scale];
      trace.rect(x, y, (right + 1 - left) * this.scale, (bottom + 1 - top) * this.scale);
    } else if (rubber.radius) {
      this.drawStroke(context, rubber, rubber.colour);
      return;
    } else {
      rubber.line.forEach(([row, col], i) => trace[i ? "lineTo" : "moveTo"](...this.place({ row, col })));
    }
    context.lineJoin = context.lineCap = "round";
    for (const [colour, thick, dash] of [["rgb(0 0 0 / .6)", 5, []], ["#fff", 2.5, rubber.box || rubber.positive === false ? [7, 5] : []]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.setLineDash(dash);
      context.stroke(trace);
    }
    context.setLineDash([]);
    context.lineCap = "butt";
  }

  /** A stroke of a brush, {line, radius, positive}, as wide as it is. */
  drawStroke(context, { line, radius, positive }, colour) {
    const trace = new Path2D();
    line.forEach(([row, col], i) => trace[i ? "lineTo" : "moveTo"](...this.place({ row, col })));
    if (line.length === 1) trace.lineTo(...this.place({ row: line[0][0], col: line[0][1] }));
    context.save();
    context.lineJoin = context.lineCap = "round";
    context.lineWidth = Math.max(1, 2 * radius * this.scale);
    context.globalAlpha = 0.55;
    context.strokeStyle = positive ? colour : "#20262b";
    context.stroke(trace);
    context.restore();
  }

  /** Index of the click of the active object whose marker is at a place on the canvas; -1: none is. */
  markerAt(x, y, reach) {
    const clicks = this.hidden ? [] : this.objects.find((object) => object.active)?.clicks ?? [];
    const distances = clicks.map((click) => Math.hypot(...this.place(click).map((at, i) => at - [x, y][i])));
    const nearest = distances.indexOf(Math.min(...distances));
    return nearest >= 0 && distances[nearest] <= reach ? nearest : -1;
  }

  drawCross() {
    const context = this.context;
    const [x, y] = this.place(this.cross);
    for (const [colour, thick] of [["#000", 4], ["#fff", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = thick;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 4 * dx, y + 4 * dy);
        context.lineTo(x + 16 * dx, y + 16 * dy);
      }
      context.stroke();
    }
  }
}

/** A drawing kept until what it was drawn from has changed. */
class Layer {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.key = [];
  }

  /** The drawing, as large as a canvas; made anew by `draw(context)`, in CSS pixels, where the key is another. */
  drawn(key, { width, height }, ratio, draw) {
    if (key.length !== this.key.length || key.some((part, i) => part !== this.key[i])) {
      this.key = key;
      Object.assign(this.canvas, { width, height }); // empties it, too
      const context = this.canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      draw(context);
    }
    return this.canvas;
  }
}
