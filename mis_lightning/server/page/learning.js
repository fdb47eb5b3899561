// Learning from what is saved: its switch, how many objects it has learned from, and clicks per object as a curve.

import { Refused, download, get, queued, send } from "./api.js";
import { page } from "./page.js";
import { addPanel, ask, make, notice } from "./panels.js";

const WIDTH = 220;
const HEIGHT = 48;
const SMOOTH = 5; // objects in the running mean
const SOON = 1500; // ms until the next look while objects wait

const box = make("input", { type: "checkbox", id: "learn" });
const label = make("label", { className: "row", title: "Each finished object teaches the model what objects here look like, and how large they are" }, box, "Learn from what I save");
const told = make("small", { id: "learned" });
told.setAttribute("role", "status");
const curve = document.createElementNS("http://www.w3.org/2000/svg", "svg");
const reset = make("button", { textContent: "Reset", title: "Forget what was learned here" });
const take = make("button", { textContent: "Export model", title: "Download the learned model, for mis predict --model" });
const buttons = make("div", { className: "row" }, take, reset);
let timer = null;

function draw(clicks) {
  curve.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  curve.setAttribute("class", "curve");
  curve.setAttribute("role", "img");
  curve.toggleAttribute("hidden", clicks.length < 2);
  curve.setAttribute("aria-label", `Clicks per object: ${clicks.join(", ")}`);
  const most = Math.max(...clicks, 4);
  const at = (index, value) => [
    (4 + (index * (WIDTH - 8)) / Math.max(1, clicks.length - 1)).toFixed(1), (HEIGHT - 4 - (value * (HEIGHT - 8)) / most).toFixed(1),
  ];
  const shape = (name, properties) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(properties)) element.setAttribute(key, value);
    return element;
  };
  const mean = clicks.map((_, i) => {
    const last = clicks.slice(Math.max(0, i + 1 - SMOOTH), i + 1);
    return at(i, last.reduce((sum, one) => sum + one, 0) / last.length);
  });
  const title = shape("title", {});
  title.textContent = "Clicks per object; the line is the mean of the last five";
  curve.replaceChildren(title,
    ...clicks.map((value, i) => { const [cx, cy] = at(i, value); return shape("circle", { cx, cy, r: 1.8 }); }),
    shape("polyline", { points: mean.map((point) => point.join(",")).join(" "), fill: "none" }));
}

function show(state) {
  box.checked = state.on;
  const objects = `${state.objects} ${state.objects === 1 ? "object" : "objects"}`;
  const recent = state.clicks.slice(-SMOOTH);
  const mean = recent.length ? `, ${(recent.reduce((sum, one) => sum + one, 0) / recent.length).toFixed(1)} clicks each lately` : "";
  const parts = [state.objects ? `Learned from ${objects}${mean}.` : "Nothing learned yet."];
  if (state.waiting) parts.push(`${state.waiting} waiting.`);
  if (state.problem) parts.push(state.problem);
  told.textContent = parts.join(" ");
  told.classList.toggle("bad", Boolean(state.problem));
  draw(state.clicks);
  take.disabled = reset.disabled = !state.objects;
  if (state.problem && state.problem !== show.said) notice(state.problem);
  show.said = state.problem;
  clearTimeout(timer);
  if (state.waiting) timer = setTimeout(refresh, SOON);
}

/** Do something about learning, and show how far it is then. */
const asked = (work) => queued(async () => {
  try {
    show(await work());
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
    show(await get("api/learning"));
  }
});

async function refresh() {
  try {
    show(await get("api/learning"));
  } catch (error) {
    if (!(error instanceof Refused)) throw error; // the server is gone: the next click says so
  }
}

box.addEventListener("change", () => asked(() => send("PUT", "api/learning", { on: box.checked })));
reset.addEventListener("click", async () => {
  const sure = await ask("Forget what was learned here? Masks stay as they are.", [["Keep", null], ["Forget", true]]);
  if (sure) asked(() => send("DELETE", "api/learning"));
});
take.addEventListener("click", async () => {
  try {
    const blob = await (await download("api/learning/model")).blob();
    const link = make("a", { href: URL.createObjectURL(blob), download: "learned.zip" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
  }
});

page.on("begun", async () => {
  const state = await get("api/learning");
  if (!state.can) return;
  addPanel("learning", "Learning", label, told, curve, buttons);
  show(state);
  let active = null;
  let saved = null;
  page.on("taken", (now) => { // an object is finished when another one is worked on, or the image is saved
    if (now.active !== active || now.saved !== saved) refresh();
    active = now.active;
    saved = now.saved;
  });
});
