// A volume: leafing through its slices, carrying an object on from slice to slice, and the strip that shows where it is.

import { download, get, queued, send } from "./api.js";
import { images, openImage, step } from "./images.js";
import { addKeys } from "./keys.js";
import { colourOf } from "./masks.js";
import { page } from "./page.js";
import { addPanel, ask, find, make } from "./panels.js";

const NOTCH = 60; // pixels of the wheel for one slice
let volume = null; // {slices, at, objects, undo, redo, window, values} as the server described it last
let running = null; // {cancelled} while an object is carried on
let turned = 0;

// ---- the panel -----------------------------------------------------------------------------------------------

const button = (textContent, title, action) => {
  const made = make("button", { textContent, title });
  made.addEventListener("click", action);
  return made;
};
const slider = make("input", { type: "range", id: "slice", min: 0, step: 1 });
const where = make("output", { id: "slice-text" });
const strip = make("canvas", { id: "strip", title: "Slices of the object, and how sure each is; click to go there" });
const told = make("p", { id: "strip-text", className: "fine" });
const chooser = make("select", { id: "volume-object" });
const back = button("◀", "Carry on to smaller slice numbers only", () => carryOn([false]));
const both = button("Carry on", "Carry the object on to the slices on both sides (V)", () => carryOn([true, false]));
const onwards = button("▶", "Carry on to larger slice numbers only", () => carryOn([true]));
const cancel = button("Cancel", "Stop; what is done stays (Esc)", () => { if (running) running.cancelled = true; });
const unsure = button("Least sure", "Go to the carried slice that fits least (U)", () => toLeastSure());
const ends = button("Not here", "The object is not on this slice; what was carried beyond it is removed, too", () => notHere());
const everywhere = button("Delete from all", "Delete the object from all slices", () => remove());
const store = button("Save all", "Save the masks of all slices of this volume", () => saveAll());
const level = make("input", { type: "range", id: "window-level", step: "any" });
const width = make("input", { type: "range", id: "window-width", step: "any" });
const windowText = make("output", { id: "window-text" });
const standard = button("Reset", "The window that it was opened with", () => setWindow(null));
standard.id = "window-reset";
const bar = make("progress", { id: "carrying", max: 1, value: 0, hidden: true });
bar.setAttribute("aria-label", "Slices done");
both.id = "carry-on";
both.className = "primary";
cancel.id = "cancel-carry";
ends.id = "not-here";
unsure.id = "least-sure";
store.id = "save-volume";
cancel.hidden = true;
const row = (...children) => make("div", { className: "row" }, ...children);
const label = (text, element) => { const made = make("label", { textContent: text }); made.htmlFor = element.id; return made; };
const panel = addPanel("volume", "Volume",
  make("div", { className: "row spread" }, label("Slice", slider), where), slider,
  row(label("Object", chooser), chooser), strip, told,
  row(back, both, onwards, cancel), bar, row(unsure, ends), row(everywhere, store),
  make("div", { className: "row spread" }, make("span", { textContent: "Window" }), windowText, standard),
  row(label("Level", level), level), row(label("Width", width), width));
panel.hidden = true;
find("panels").prepend(panel); // what is used most comes first

const current = () => volume?.objects.find((object) => object.id === page.object);
const go = (k) => { if (volume && k >= 0 && k < volume.slices.length) openImage(volume.slices[k]); };

function show() {
  panel.hidden = !volume;
  if (!volume) return;
  const object = current();
  const count = volume.slices.length;
  slider.max = count - 1;
  slider.value = volume.at;
  where.textContent = `${volume.at} of 0 to ${count - 1}`;
  chooser.replaceChildren(...volume.objects.map(({ id, name }) => make("option", { value: id, textContent: `${id}: ${name}` })),
    make("option", { value: "", textContent: "New object" }));
  chooser.value = object?.id ?? "";
  const carried = object?.parts.filter((part) => part.carried) ?? [];
  const here = object?.parts.find((part) => part.slice === volume.at);
  for (const one of [back, both, onwards]) one.disabled = Boolean(running) || !(here || (object && worked()));
  ends.disabled = Boolean(running) || !object;
  unsure.disabled = !carried.length;
  everywhere.disabled = Boolean(running) || !object;
  if (volume.undo) find("undo").disabled = false;
  if (volume.redo) find("redo").disabled = false;
  const share = here && `${Math.round(100 * here.score)} %`;
  told.textContent = !object ? "Click on the image to begin an object."
    : `On ${object.parts.length} of ${count} slices${object.parts.length ? `, ${object.parts.length - carried.length} clicked` : ""}. `
      + (here ? here.carried ? `This one was carried: ${share} alike.` : "This one was clicked." : "It is not on this slice.");
  showWindow(volume.window);
  draw(object);
}

// ---- window and level ----------------------------------------------------------------------------------------

function showWindow([low, high]) {
  const [least, most] = volume.values;
  const span = Math.max(most - least, high - low, 1e-9);
  Object.assign(level, { min: least, max: most });
  Object.assign(width, { min: span / 255, max: span });
  if (document.activeElement !== level) level.value = (low + high) / 2;
  if (document.activeElement !== width) width.value = high - low;
  const round = (value) => Number(value.toPrecision(4));
  windowText.textContent = `${round(low)} to ${round(high)}`;
}

const chosenWindow = () => [Number(level.value) - Number(width.value) / 2, Number(level.value) + Number(width.value) / 2];

async function setWindow(window) {
  const key = page.image;
  if (!volume || running || !(await page.change("POST", "volume/window", { window }))) return;
  try {
    const picture = await createImageBitmap(await (await download(page.here("picture"))).blob());
    if (page.image !== key || !page.state) return;
    page.view.open(picture, page.state.height, page.state.width, true);
    page.take(page.state);
    page.say("The model sees the slices with this window, too. Masks stay; earlier steps can no longer be undone one by one.");
  } catch (error) {
    await page.fail(error);
  }
}

for (const input of [level, width]) {
  input.addEventListener("input", () => { windowText.textContent = chosenWindow().map((value) => Number(value.toPrecision(4))).join(" to "); });
  input.addEventListener("change", () => setWindow(chosenWindow()));
}

/** Whether something was done to the object on this slice, though nothing may be left of it. */
const worked = () => page.state?.objects.some((one) => one.id === page.object && one.actions);

/** One bar for each slice: as high as it is sure, and in the colour of the object where it was clicked. */
function draw(object) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [strip.clientWidth || 220, 44];
  Object.assign(strip, { width: width * ratio, height: height * ratio });
  strip.style.height = `${height}px`;
  const context = strip.getContext("2d");
  context.scale(ratio, ratio);
  const style = getComputedStyle(strip);
  const each = width / volume.slices.length;
  const gap = each > 4 ? 1 : 0;
  context.fillStyle = style.getPropertyValue("--line");
  context.fillRect(0, height - 5, width, 1);
  for (const { slice, carried, score } of object?.parts ?? []) {
    const sure = carried ? Math.max(0.12, (score - 0.4) / 0.6) : 1;
    context.fillStyle = carried ? `hsl(${Math.round(120 * Math.min(1, Math.max(0, (score - 0.55) / 0.35)))} 65% 42%)` : colourOf(object.id);
    context.fillRect(slice * each, (height - 5) * (1 - sure), Math.max(1, each - gap), (height - 5) * sure);
  }
  context.fillStyle = style.getPropertyValue("--text");
  context.fillRect(volume.at * each, height - 3, Math.max(2, each - gap), 3);
  strip.setAttribute("role", "img");
  strip.setAttribute("aria-label", told.textContent);
}

// ---- what the server knows -----------------------------------------------------------------------------------

const ofVolume = () => images.entries.get(page.image)?.image.volume ?? null;

/** Ask what is on the slices; only the last answer counts. */
async function refresh() {
  const key = page.image;
  if (ofVolume() === null) {
    volume = null;
    show();
    return;
  }
  try {
    const found = await get(page.here(`volume${page.object ? `?object=${page.object}` : ""}`));
    if (page.image !== key) return;
    volume = found;
    show();
    panel.dataset.revision = page.state?.revision ?? ""; // what is shown, for tests
  } catch (error) {
    await page.fail(error);
  }
}

page.on("leaving", () => { delete panel.dataset.revision; });
page.on("taking", (state, changed) => {
  if (ofVolume() === null) {
    page.object = null;
    return;
  }
  if (changed || page.object === null) page.object = state.active;
  // the object worked on stays the same from slice to slice, whatever the slice had last
  state.active = state.objects.some((one) => one.id === page.object) ? page.object : null;
});
page.on("taken", () => { refresh(); });
page.on("opened", () => {
  if (!volume || ofVolume() === null) return;
  volume.at = Math.max(0, volume.slices.indexOf(page.image));
  show();
});

// ---- carrying on ---------------------------------------------------------------------------------------------

async function carryOn(ways) {
  if (running || !volume || !page.object || !page.state) return;
  const [start, key, object] = [volume.at, page.image, page.object];
  const from = `api/tabs/${page.tab}/images/${key}/volume`;
  running = { cancelled: false };
  Object.assign(bar, { hidden: false, max: volume.slices.length - 1, value: 0 });
  cancel.hidden = false;
  show();
  let slices = 0;
  try {
    const run = await queued(() => send("POST", `${from}/run`, { object, revision: page.state.revision }));
    for (const forward of ways) {
      for (let done = start; !running.cancelled;) {
        const answer = await queued(() => send("POST", `${from}/carry`, { ...run, object, forward, done }));
        if (!answer.done) break;
        done = answer.done.slice;
        slices += 1;
        bar.value = slices;
        page.say(`Slice ${done}: ${answer.done.here ? `${Math.round(100 * answer.done.score)} % alike` : "emptied"}.`);
        images.mark(volume.slices[done], "draft", Math.max(1, images.entries.get(volume.slices[done]).image.objects));
        if (volume.slices[done] === page.image) await reload();
        else await refresh();
      }
    }
    const stopped = running.cancelled ? "Cancelled. " : "";
    page.say(slices ? `${stopped}Carried on from slice ${start} to ${slices} others; Ctrl+Z takes them back.`
      : `${stopped}There is nothing to carry on to: the next slices do not look like this one, or were worked on.`);
  } catch (error) {
    await page.fail(error);
  } finally {
    running = null;
    bar.hidden = cancel.hidden = true;
    await refresh();
  }
}

/** Show this slice as it is now. */
async function reload() {
  const key = page.image;
  const state = await get(page.here());
  if (page.image === key) page.take(state);
}

/** Something that is about all slices of an object. */
function change(path) {
  if (!volume || !page.object || !page.state) return false;
  if (running) return true;
  const { object } = page;
  page.tell("escape");
  page.change("POST", `volume/${path}`, { object });
  return true;
}

// A run is undone on all its slices; anything else by the slice itself.
page.on("undo", () => volume !== null && volume.undo && change("undo"));
page.on("redo", () => volume !== null && volume.redo && change("redo"));

async function notHere() {
  if (!volume || !page.object) return;
  if (!(await page.change("POST", "volume/empty", { object: page.object }))) return;
  await carryOn([true, false]);
  page.say(`The object is not on slice ${volume.at}, nor beyond it. Ctrl+Z takes that back.`);
}

async function remove() {
  const object = current();
  if (!object) return;
  const sure = await ask(`Delete “${object.name}” from all ${object.parts.length} slices? It can be undone on each slice separately.`, [["Cancel", false], ["Delete", true]]);
  if (sure) change("delete");
}

function saveAll() {
  page.masks.clear();
  page.change("POST", "volume/save", {}).then(async (done) => {
    for (const image of await get(`api/tabs/${page.tab}/images`)) images.mark(image.key, image.state, image.objects);
    if (done) page.say(`All slices are saved to ${page.info.results}.`);
  });
}

function toLeastSure() {
  const carried = current()?.parts.filter((part) => part.carried) ?? [];
  if (carried.length) go(carried.reduce((least, part) => (part.score < least.score ? part : least)).slice);
}

// ---- what the user does --------------------------------------------------------------------------------------

slider.addEventListener("input", () => go(Number(slider.value)));
strip.addEventListener("click", (event) => go(Math.floor((event.offsetX / strip.clientWidth) * volume.slices.length)));
chooser.addEventListener("change", () => {
  if (chooser.value === "") {
    page.tell("escape");
    page.change("POST", "objects");
    return;
  }
  page.object = Number(chooser.value);
  if (page.state) page.take(page.state);
});
page.on("wheel", (event) => {
  if (!volume || event.ctrlKey || event.altKey || event.shiftKey) return false; // those zoom
  turned += event.deltaY * (event.deltaMode ? 24 : 1);
  const by = Math.trunc(turned / NOTCH);
  if (by) {
    turned = 0;
    step(Math.sign(by));
  }
  return true;
});
page.on("escape", () => { if (running) running.cancelled = true; });
addKeys(["V"], "volume: carry the object on, both ways", { v: () => carryOn([true, false]) });
addKeys(["U"], "volume: go to the least sure slice", { u: () => toLeastSure() });
addKeys(["Page Up", "Page Down", "wheel"], "volume: previous, next slice (Ctrl + wheel zooms)", {
  pageup: () => volume && step(-1), pagedown: () => volume && step(1),
});
