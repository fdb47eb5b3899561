// Masks as the server sends them (first and last pixel of each run, row by row) -> fills and outlines.

/** Okabe and Ito's colours, told apart with any colour vision. */
export const COLOURS = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7"];
export const colourOf = (id) => COLOURS[(id - 1) % COLOURS.length];
/** Black or white, whichever is read better on a colour. */
export const inkOn = (colour) => (luminance(colour) > 0.18 ? "#000" : "#fff");

function channels(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function luminance(colour) {
  const [r, g, b] = channels(colour).map((value) => (value / 255) ** 2.2);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function bytes(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

const MOST_EDGES = 120000; // beyond that an outline is noise, and slow

export class Mask {
  /** `runs`: as the server sends them, base64, or a Uint32Array. */
  constructor(version, runs, height, width) {
    this.version = version;
    this.height = height;
    this.width = width;
    if (typeof runs === "string") runs = new Uint32Array(bytes(runs).buffer);
    this.runs = runs;
    this.top = runs.length ? Math.floor(runs[0] / width) : height;
    this.bottom = runs.length ? Math.floor((runs[runs.length - 1] - 1) / width) + 1 : 0;
  }

  /** The border as a path in pixels of the image; null for an empty mask, or one too ragged to draw. */
  get outline() {
    if (this.path === undefined) this.path = this.trace();
    return this.path;
  }

  /** Columns where each row goes in or out. */
  *rows() {
    const { runs, width } = this;
    let i = 0;
    for (let row = this.top; row < this.bottom; row += 1) {
      const first = row * width;
      const edges = [];
      while (i < runs.length && runs[i] < first + width) {
        edges.push(Math.max(runs[i], first) - first, Math.min(runs[i + 1], first + width) - first);
        if (runs[i + 1] > first + width) break; // it goes on in the next row
        i += 2;
      }
      yield [row, edges];
    }
  }

  trace() {
    if (!this.runs.length) return null;
    return tracePath(this.rows(), this.bottom);
  }
}

/** Lines between inside and outside, from rows of sorted columns where it changes. */
function tracePath(rows, bottom) {
  const path = new Path2D();
  const open = new Map(); // column -> row where a vertical line began
  let above = [];
  let count = 0;
  const across = (row, edges) => { // where this row and the one above differ
    const all = [...above, ...edges].sort((a, b) => a - b);
    const kept = [];
    for (const column of all) {
      if (kept.length && kept[kept.length - 1] === column) kept.pop();
      else kept.push(column);
    }
    for (let i = 0; i < kept.length; i += 2) {
      path.moveTo(kept[i], row);
      path.lineTo(kept[i + 1], row);
    }
    count += kept.length;
    const now = new Set(edges);
    for (const [column, from] of open) {
      if (now.has(column)) continue;
      path.moveTo(column, from);
      path.lineTo(column, row);
      open.delete(column);
    }
    for (const column of now) if (!open.has(column)) { open.set(column, row); count += 1; }
    above = edges;
  };
  for (const [row, edges] of rows) {
    across(row, edges);
    if (count > MOST_EDGES) return null;
  }
  across(bottom, []);
  return path;
}

/** The fills of all objects in one picture of the image's size; large images get one of fewer pixels. */
export class Overlay {
  constructor(height, width) {
    this.step = Math.max(1, Math.ceil(Math.sqrt((height * width) / 4e6)));
    this.source = { height, width };
    this.canvas = document.createElement("canvas");
    this.canvas.height = Math.ceil(height / this.step);
    this.canvas.width = Math.ceil(width / this.step);
    this.context = this.canvas.getContext("2d");
    this.pixels = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.words = new Uint32Array(this.pixels.data.buffer);
    this.drawn = new Map();
  }

  /** Paint [id, mask] pairs; rows where nothing changed are left as they are. */
  draw(masks) {
    const wanted = new Map(masks);
    let [top, bottom] = [this.source.height, 0];
    for (const id of new Set([...wanted.keys(), ...this.drawn.keys()])) {
      const [before, after] = [this.drawn.get(id), wanted.get(id)];
      if (before === after) continue;
      for (const mask of [before, after]) {
        if (!mask) continue;
        top = Math.min(top, mask.top);
        bottom = Math.max(bottom, mask.bottom);
      }
    }
    this.drawn = wanted;
    if (top >= bottom) return;
    const { step, words, canvas } = this;
    const [first, last] = [Math.floor(top / step), Math.ceil(bottom / step)];
    words.fill(0, first * canvas.width, last * canvas.width);
    for (const [id, mask] of wanted) this.fill(mask, colourOf(id), first, last);
    this.context.putImageData(this.pixels, 0, 0, 0, first, canvas.width, last - first);
  }

  fill(mask, colour, first, last) {
    const [r, g, b] = channels(colour);
    const word = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    const { step, words, canvas, source } = this;
    if (step === 1) {
      const { runs } = mask;
      const [from, to] = [first * canvas.width, last * canvas.width];
      for (let i = 0; i < runs.length; i += 2) {
        if (runs[i + 1] > from && runs[i] < to) words.fill(word, Math.max(runs[i], from), Math.min(runs[i + 1], to));
      }
      return;
    }
    for (const [row, edges] of mask.rows()) {
      if (row % step || row / step < first || row / step >= last || row >= source.height) continue;
      const line = (row / step) * canvas.width;
      for (let i = 0; i < edges.length; i += 2) {
        words.fill(word, line + Math.ceil(edges[i] / step), line + Math.ceil(edges[i + 1] / step));
      }
    }
  }
}

/** Nested regions about a clicked patch: for each patch of the grid the first level that holds it. */
export class Levels {
  /** `answer`: of the server; on an image of height x width pixels. */
  constructor(answer, height, width) {
    this.grid = answer.grid;
    this.first = new Uint16Array(bytes(answer.first).buffer);
    this.shares = answer.shares;
    this.row = answer.row;
    this.col = answer.col;
    this.numbers = answer.levels;
    this.level = answer.start;
    this.size = [height, width];
    this.overlay = new Overlay(height, width);
  }

  get count() { return this.numbers.length; }

  /** Choose a level: its mask, painted in the colour of the object `id`. */
  choose(level, id) {
    this.level = Math.max(0, Math.min(level, this.count - 1));
    const [height, width] = this.size;
    this.mask = new Mask("", this.runs(this.numbers[this.level]), height, width);
    this.overlay.draw([[id, this.mask]]);
  }

  /** The pixels of a level as runs; a pixel is of the patch that it lies in, docs/protocol.md. */
  runs(number) {
    const [[rows, cols], [height, width]] = [this.grid, this.size];
    const runs = [];
    let edges = [];
    let last = -1;
    for (let row = 0; row < height; row += 1) {
      const patch = Math.floor((row * rows) / height);
      if (patch !== last) edges = this.edges(patch * cols, cols, number).map((col) => Math.ceil((col * width) / cols));
      last = patch;
      for (const edge of edges) runs.push(row * width + edge);
    }
    return Uint32Array.from(runs);
  }

  /** Columns of patches where a row goes in or out. */
  edges(from, cols, number) {
    const edges = [];
    let inside = false;
    for (let col = 0; col <= cols; col += 1) {
      const now = col < cols && this.first[from + col] <= number;
      if (now !== inside) edges.push(col);
      inside = now;
    }
    return edges;
  }
}
