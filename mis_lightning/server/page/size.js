// How large the object is: a slider, for models that can be told. Moving it answers the clicks again.

import { addKeys } from "./keys.js";
import { page } from "./page.js";
import { addPanel, make } from "./panels.js";

const DECADES = 4; // of the scale, from a ten-thousandth of the image to all of it
const REST = 150; // ms without a move until the slider is answered
const STEP = 0.05; // by key
let wanted; // what is not asked for yet, null for "auto"; undefined where there is nothing
let asking = false;
let timer = null;

const slider = make("input", { type: "range", id: "granularity", min: 0, max: 1, step: 0.01, title: "Double click for auto" });
slider.setAttribute("aria-label", "Size of the object");
const text = make("output", { id: "granularity-text" });
text.setAttribute("for", "granularity");
const auto = make("button", { id: "granularity-auto", textContent: "auto", title: "Let the clicks alone decide" });
const panel = addPanel("size", "Size",
  make("div", { className: "row" }, make("small", { textContent: "Part" }), slider, make("small", { textContent: "Whole" })),
  make("div", { className: "row spread" }, text, auto));
panel.hidden = true;

/** The object that the slider is about; none before its first click. */
function shown() {
  const object = page.active();
  const here = page.object === null || page.object === object?.id; // of a volume, on this slice
  return page.info?.granularity && here && object?.clicks.length ? object : null;
}

/** Where the mask of an object is on the scale. */
function measured({ area }) {
  const share = Math.max(area, 1) / (page.state.height * page.state.width);
  return Math.max(0, 1 + Math.log10(share) / DECADES);
}

function tell(told) {
  const share = 100 * 10 ** (DECADES * (slider.value - 1));
  const words = told ? `${share.toFixed(share < 1 ? 2 : share < 10 ? 1 : 0)} % of the image` : "auto";
  text.textContent = words;
  slider.setAttribute("aria-valuetext", words);
  auto.disabled = !told;
}

function show() {
  const object = shown();
  panel.hidden = !object;
  if (!object || asking || wanted !== undefined) return; // the slider is ahead of what is answered
  slider.value = object.granularity ?? measured(object);
  tell(object.granularity !== null);
}

function send() {
  const granularity = wanted;
  wanted = undefined;
  return page.change("POST", "granularity", { granularity }, { timed: true });
}

/** Ask for the last value, one question at a time. */
async function ask() {
  if (asking || wanted === undefined) return;
  asking = true;
  try {
    await send();
  } finally {
    asking = false;
  }
  if (wanted === undefined) show();
  else ask();
}

function want(value) {
  if (!shown()) return;
  wanted = value === null ? null : Math.round(100 * Math.max(0, Math.min(1, value))) / 100;
  if (wanted !== null) slider.value = wanted;
  tell(wanted !== null);
  clearTimeout(timer);
  timer = setTimeout(ask, REST);
}

slider.addEventListener("input", () => want(Number(slider.value)));
slider.addEventListener("dblclick", () => want(null));
auto.addEventListener("click", () => want(null));
addKeys(["K", "L"], "size of the object smaller, larger, if the model takes a size", {
  k: () => want(Number(slider.value) - STEP),
  l: () => want(Number(slider.value) + STEP),
});
page.on("taken", show);
page.on("escape", () => { if (wanted !== undefined) send(); }); // before another object is chosen
page.on("leaving", () => {
  wanted = undefined;
  panel.hidden = true;
});
