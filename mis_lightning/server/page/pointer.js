// Mouse, pen and fingers on the canvas -> clicks, boxes, lines, panning and zooming.

import { page } from "./page.js";

const STILL = 5; // screen pixels a press may wander and still be a click
const MOST_POINTS = 4000; // of a line; a longer one is thinned out
const TWICE = 400; // milliseconds in which a second press is a double click

/**
 * @param view the View
 * @param tool () => the tool that is chosen, see tools.js
 * @param adds (event) => whether the press adds
 */
export function listen(view, tool, adds) {
  const canvas = view.canvas;
  const fingers = new Map();
  let press = null; // {x, y, id, adds, kind: "pan" | "press" | "draw", start, line}
  let space = false;
  let last = { time: -TWICE, x: 0, y: 0 };

  /** A press at a place: one click, however often the button goes down there at once. */
  const answer = (event, x, y, sign) => {
    const place = view.at(x, y);
    const double = event.timeStamp - last.time < TWICE && Math.hypot(x - last.x, y - last.y) < STILL;
    last = { time: event.timeStamp, x, y };
    if (place && double) tool().double?.();
    else if (place) tool().click(place, sign);
  };

  const local = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const stop = () => {
    press = null;
    view.rubber = null;
    view.moving = null;
    canvas.classList.remove("panning");
    view.draw();
  };

  addEventListener("keydown", (event) => {
    last.time = -TWICE; // a press after a key is a new one
    if (event.code !== "Space" || event.target.closest?.("button, input, dialog, a")) return;
    space = true;
    canvas.classList.add("panning");
    event.preventDefault();
  });
  addEventListener("keyup", (event) => {
    if (event.code !== "Space") return;
    space = false;
    if (press?.kind !== "pan") canvas.classList.remove("panning");
  });
  addEventListener("blur", () => { space = false; });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("auxclick", (event) => event.preventDefault());

  canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = local(event);
    canvas.focus({ preventScroll: true });
    view.cross = null;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, [x, y]);
    if (fingers.size === 2) { stop(); return; } // a pinch
    if (fingers.size > 2) return;
    const pan = event.button === 1 || space;
    if (!pan && event.button !== 0 && event.button !== 2) return;
    if (pan) event.preventDefault();
    const drawing = tool().press !== "click" && view.at(x, y);
    press = { x, y, fromX: x, fromY: y, adds: adds(event), kind: pan ? "pan" : drawing ? "draw" : "press", touch: event.pointerType === "touch" };
    if (press.kind === "pan") canvas.classList.add("panning");
    if (press.kind === "draw") {
      press.start = view.near(x, y);
      press.line = [[press.start.row, press.start.col]];
    }
    if (press.kind === "press" && tool().moved) {
      press.marker = view.markerAt(x, y, press.touch ? 14 : 6);
      if (press.marker >= 0) press.kind = "marker";
    }
    // A mouse click is answered when the button goes down: that is when the user looks for it.
    if (press.kind === "press" && !press.touch) {
      const { adds: sign } = press;
      press = null;
      answer(event, x, y, sign);
    }
  });

  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = local(event);
    if (fingers.size === 2 && fingers.has(event.pointerId)) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const before = fingers.get(event.pointerId);
      const distance = (a) => Math.hypot(a[0] - other[0], a[1] - other[1]);
      view.pan((x - before[0]) / 2, (y - before[1]) / 2);
      if (distance(before) > 10) view.zoom(distance([x, y]) / distance(before), (x + other[0]) / 2, (y + other[1]) / 2);
      fingers.set(event.pointerId, [x, y]);
      return;
    }
    if (fingers.has(event.pointerId)) fingers.set(event.pointerId, [x, y]);
    if (!press) return;
    if (press.kind === "press" && Math.hypot(x - press.fromX, y - press.fromY) > STILL) press.kind = "pan"; // a finger
    if (press.kind === "marker" && (view.moving || Math.hypot(x - press.fromX, y - press.fromY) > STILL)) {
      view.moving = { index: press.marker, ...view.near(x, y) };
      view.draw();
    }
    if (press.kind === "pan") {
      view.pan(x - press.x, y - press.y);
      [press.x, press.y] = [x, y];
    } else if (press.kind === "draw") {
      const { row, col } = view.near(x, y);
      if (tool().press === "box") {
        const { start } = press;
        view.rubber = { box: [Math.min(row, start.row), Math.min(col, start.col), Math.max(row, start.row), Math.max(col, start.col)] };
      } else {
        const [lastRow, lastCol] = press.line.at(-1);
        if (row !== lastRow || col !== lastCol) press.line.push([row, col]);
        if (press.line.length > MOST_POINTS) press.line = press.line.filter((_, i) => i % 2 === 0);
        const positive = tool().paints?.(press.adds) ?? press.adds;
        view.rubber = { line: press.line, positive, radius: tool().radius?.(), colour: tool().colour?.() };
      }
      view.draw();
    }
  });

  const up = (event) => {
    fingers.delete(event.pointerId);
    if (!press || fingers.size) return;
    const { kind, x, y, adds: sign, line, marker } = press;
    const { rubber, moving } = view;
    stop();
    if (event.type === "pointercancel") return;
    if (kind === "press") {
      answer(event, x, y, sign);
    } else if (kind === "marker") {
      if (moving) tool().moved(marker, moving);
      else tool().marked(marker, sign);
    } else if (kind === "draw") {
      if (rubber?.box && rubber.box[2] > rubber.box[0] && rubber.box[3] > rubber.box[1]) tool().box(rubber.box, sign);
      else if (rubber?.line?.length > 1) tool().line(line, sign);
      else tool().click({ row: line[0][0], col: line[0][1] }, sign);
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (page.tell("wheel", event)) return;
    const lines = event.deltaMode === 1 ? 24 : event.deltaMode === 2 ? 240 : 1;
    view.zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 360), ...local(event));
  }, { passive: false });

  return { stop, busy: () => press !== null };
}
