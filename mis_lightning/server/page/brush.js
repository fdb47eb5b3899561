// The last pixels, by hand: brush and eraser, polygon, and what makes a mask tidier as a whole.

import { addKeys } from "./keys.js";
import { colourOf } from "./masks.js";
import { page } from "./page.js";
import { addPanel, find, make } from "./panels.js";
import { addTool, adding, chosen } from "./tools.js";

const { view } = page;
const STEP = 1.25; // of the size, by key
let size = 12; // of the brush, in pixels of the image
let cursor = null; // where the pointer is on the canvas
let corners = []; // of the polygon that is being drawn
let cuts = false; // whether it is to be cut out
const strokes = new Set(); // asked for, not answered yet

const colour = () => colourOf(page.active()?.id ?? page.state?.next ?? 1);

// ---- brush and eraser ----------------------------------------------------------------------------------------

const largest = () => Math.max(2, Math.max(view.height ?? 0, view.width ?? 0) / 2);
const isBrush = () => ["brush", "eraser"].includes(chosen()?.name);

function setSize(value) {
  size = Math.max(1, Math.min(Math.round(value), largest()));
  find("brush-size").value = 100 * Math.log(size) / Math.log(largest());
  find("brush-text").textContent = `${size} px`;
  find("brush-size").setAttribute("aria-valuetext", `${size} pixels`);
  view.draw();
}

async function stroke(points, adds) {
  const drawn = { line: points, positive: adds, radius: size / 2 };
  strokes.add(drawn);
  view.draw();
  await page.change("POST", "brush", { points, positive: adds, radius: size / 2 });
  strokes.delete(drawn);
  view.draw();
}

function brush(name, label, key, what, sign) {
  const paints = (adds) => (adds === adding()) === sign; // the left button does what the tool is called, in either mode
  addTool({
    name, label, key, what, press: "line", signed: false,
    help: `Draw over the image; the right button or Alt ${sign ? "erases" : "paints"}. What is painted stays, whatever is clicked later.`,
    radius: () => size / 2,
    colour,
    paints,
    click: ({ row, col }, adds) => stroke([[row, col]], paints(adds)),
    line: (points, adds) => stroke(points, paints(adds)),
    enter: () => { find("brush").hidden = false; setSize(size); },
    leave: () => { find("brush").hidden = true; view.draw(); },
  });
}

brush("brush", "Brush", "D", "Brush: paint by hand", true);
brush("eraser", "Eraser", "E", "Eraser: erase by hand", false);
addKeys(["{", "}"], "brush smaller, larger", {
  "{": () => setSize(Math.min(size - 1, size / STEP)), "}": () => setSize(Math.max(size + 1, size * STEP)),
});
find("brush-size").addEventListener("input", (event) => setSize(largest() ** (event.target.value / 100)));

// ---- polygon -------------------------------------------------------------------------------------------------

function atFirst(place) {
  if (corners.length < 3) return false;
  const [[x, y], [fromX, fromY]] = [view.place(place), view.place({ row: corners[0][0], col: corners[0][1] })];
  return Math.hypot(x - fromX, y - fromY) < 9;
}

function drop() {
  corners = [];
  view.draw();
}

function close() {
  if (corners.length < 3) { page.say("A polygon needs at least three corners."); return; }
  page.change("POST", "polygon", { points: corners, positive: !cuts });
  drop();
}

addTool({
  name: "polygon", label: "Polygon", key: "P", what: "Polygon: fill a shape by hand", press: "click",
  help: "Click corner by corner; a double click, Enter or the first corner closes it. With the right button it is cut out.",
  click: (place, adds) => {
    if (atFirst(place)) { close(); return; }
    if (!corners.length) cuts = !adds;
    corners.push([place.row, place.col]);
    view.draw();
  },
  double: close,
  leave: drop,
});
page.on("escape", drop);
page.on("leaving", drop);
page.on("enter", () => {
  const begun = corners.length > 0 && !view.cross;
  if (begun) close();
  return begun;
});
page.on("undo", () => {
  const begun = corners.pop() !== undefined;
  view.draw();
  return begun;
});

function drawPolygon(context) {
  const trace = new Path2D();
  const places = corners.map(([row, col]) => view.place({ row, col }));
  if (cursor) places.push(cursor);
  places.forEach((place, i) => trace[i ? "lineTo" : "moveTo"](...place));
  if (places.length > 2) trace.closePath();
  context.lineJoin = "round";
  for (const [colour, thick] of [["rgb(0 0 0 / .6)", 4], ["#fff", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thick;
    context.setLineDash(cuts ? [7, 5] : []);
    context.stroke(trace);
  }
  context.setLineDash([]);
  context.fillStyle = "#fff";
  for (const [x, y] of places.slice(0, corners.length)) {
    context.beginPath();
    context.arc(x, y, 4, 0, 2 * Math.PI);
    context.fill();
    context.lineWidth = 1;
    context.strokeStyle = "#000";
    context.stroke();
  }
}

// ---- what is drawn -------------------------------------------------------------------------------------------

view.layers.push((context) => {
  for (const drawn of strokes) view.drawStroke(context, drawn, colour());
  if (corners.length) drawPolygon(context);
  if (!cursor || !isBrush() || !view.picture) return;
  for (const [ink, thick] of [["rgb(0 0 0 / .7)", 3], ["#fff", 1.25]]) {
    context.strokeStyle = ink;
    context.lineWidth = thick;
    context.setLineDash(chosen().paints(adding()) ? [] : [5, 4]);
    context.beginPath();
    context.arc(...cursor, Math.max(1.5, (size / 2) * view.scale), 0, 2 * Math.PI);
    context.stroke();
  }
});

function follow(event) {
  cursor = event.type === "pointerleave" ? null : [event.offsetX, event.offsetY];
  if (isBrush() || corners.length) view.draw();
}
view.canvas.addEventListener("pointermove", follow);
view.canvas.addEventListener("pointerleave", follow);

// ---- tidy ----------------------------------------------------------------------------------------------------

const tidy = [["smooth", "Smooth border", "Remove details of the border finer than about two pixels"],
  ["fill", "Fill holes", "Fill the holes, unless they were clicked away"],
  ["specks", "Drop specks", "Drop parts smaller than a tenth of the largest one, unless they were clicked on"]];

const buttons = tidy.map(([what, label, title]) => {
  const button = make("button", { title, textContent: label, disabled: true });
  button.addEventListener("click", () => page.change("POST", "tidy", { what }));
  return button;
});
addPanel("tidy", "Tidy up", make("div", { className: "buttons" }, ...buttons));
page.on("taken", () => { for (const button of buttons) button.disabled = !page.active()?.area; });
page.on("leaving", () => { for (const button of buttons) button.disabled = true; });
