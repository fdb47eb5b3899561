// The page: what is shown, what the user asks for, and what the server answers.

import { Refused, download, get, openTab, queued, send, settled } from "./api.js";
import { KEYS, fillTable, listenToKeys } from "./keys.js";
import { Levels, Mask, colourOf } from "./masks.js";
import { ImageList, ObjectList, ask, find, menu, notice, showTimes } from "./panels.js";
import { listen } from "./pointer.js";
import { View } from "./view.js";

export const view = new View(find("canvas"));
const page = { tab: null, image: null, state: null, tool: "click", adds: true, info: null };
const masks = new Map(); // id -> Mask of the image shown

const images = new ImageList((key) => openImage(key));
const objects = new ObjectList({ select, remove, name: (id, name) => change("PATCH", `objects/${id}`, { name }) });
const here = (path = "") => `api/tabs/${page.tab}/images/${page.image}${path && `/${path}`}`;
const active = () => page.state?.objects.find((object) => object.id === page.state.active);
const say = (text) => { find("status").textContent = text; };

// ---- what the server answers ---------------------------------------------------------------------------------

function take(state) {
  page.state = state;
  const ids = new Set(state.objects.map((object) => object.id));
  for (const id of masks.keys()) if (!ids.has(id)) masks.delete(id);
  for (const { id, mask } of state.objects) {
    if (mask.runs !== null) masks.set(id, new Mask(mask.version, mask.runs, state.height, state.width));
  }
  show();
}

function show() {
  const { state } = page;
  view.show(state.objects.map(({ id, clicks }) => ({ id, clicks, mask: masks.get(id), active: id === state.active })));
  objects.fill(state.objects, state.active);
  const object = active();
  find("undo").disabled = !object?.undoable;
  find("redo").disabled = !object?.redoable;
  find("reset").disabled = !object?.actions;
  find("load-mask").disabled = false;
  find("save").disabled = state.saved !== "draft";
  find("save-state").textContent = { none: "", draft: "Not saved yet", saved: "Saved" }[state.saved];
  find("save-state").className = state.saved;
  images.mark(page.image, state.saved, state.objects.length);
  view.canvas.dataset.revision = state.revision; // what is shown, for tests
}

/** The image was replaced on disk: the user says what becomes of the masks. */
async function replaced(key, message) {
  const choice = await ask(message, [["Not now", null], ["Keep the masks, drop the clicks", "masks"], ["Start anew", "new"]]);
  if (!choice || !key) return;
  try {
    await queued(() => send("POST", `api/tabs/${page.tab}/images/${key}/adopt`, { masks: choice === "masks" }));
  } catch (error) {
    await fail(error);
    return;
  }
  page.image = null;
  await openImage(key);
}

async function fail(error, asked = null) {
  if (!(error instanceof Refused)) throw error;
  notice(error.message);
  say(error.message);
  if (error.status === 401) location.reload();
  if (error.status === 410) await replaced(page.image ?? asked, error.message);
  if (error.status === 409 && page.image) {
    const key = page.image;
    const state = await get(here());
    if (page.image === key) take(state);
  }
}

/** Ask for a change of this image; the answer is its new state. */
function change(method, path, body = {}, { pending, timed = false } = {}) {
  const key = page.image;
  if (!key || !page.state) return Promise.resolve(false);
  if (pending) {
    view.pending.push(...pending);
    view.draw();
  }
  return queued(async () => {
    if (page.image !== key) return false; // the user has moved on
    const asked = performance.now();
    try {
      const known = Object.fromEntries([...masks].map(([id, mask]) => [id, mask.version]));
      const url = here(path);
      const whole = body instanceof Blob
        ? await send(method, `${url}?revision=${page.state.revision}`, body)
        : await send(method, url, { ...body, revision: page.state.revision, known });
      if (page.image !== key) return false;
      if (pending) view.pending.splice(0, pending.length);
      take(whole);
      if (timed) time(whole, performance.now() - asked);
      return true;
    } catch (error) {
      if (pending) view.pending.splice(0, pending.length);
      view.draw();
      await fail(error);
      return false;
    }
  });
}

function time({ times }, total) {
  page.times = { total, model: times.model, rest: total - times.model, server: times.server };
  showTimes(page.times);
  const clicks = active()?.clicks.length ?? 0;
  say(`Click ${clicks} took ${Math.round(total)} ms: ${page.info.trained ? "model" : "merge tree"} ${Math.round(times.model)} ms, `
    + `rest of the server ${Math.round(times.server - times.model)} ms, transfer and drawing ${Math.round(total - times.server)} ms.`);
}

// ---- images --------------------------------------------------------------------------------------------------

async function openImage(key) {
  if (!key || key === page.image) return;
  leaveLevels();
  pointer.stop();
  page.image = key;
  page.state = null;
  masks.clear();
  view.clear();
  delete view.canvas.dataset.revision;
  images.current(key);
  const entry = images.entries.get(key).image;
  find("image-name").textContent = entry.name;
  document.title = `${entry.name} – mis annotate`;
  find("busy").hidden = false;
  for (const id of ["undo", "redo", "reset", "save"]) find(id).disabled = true;
  showTimes({});
  say("");
  try {
    await settled();
    const load = async () => createImageBitmap(await (await download(`api/images/${key}/picture`)).blob());
    const [picture, state] = await Promise.all([load(), get(here())]);
    if (page.image !== key) return;
    view.open(picture, state.height, state.width);
    take(state);
    sessionStorage.setItem("mis-image", key);
    say(`${state.width} × ${state.height} pixels. ${entry.name} is open.`);
  } catch (error) {
    if (page.image === key) {
      page.image = null;
      await fail(error, key);
    }
  } finally {
    if (page.image === key || !page.image) find("busy").hidden = true;
  }
}

const step = (by) => openImage(images.beside(by));

async function save() {
  if (page.state?.saved !== "draft") return;
  const key = page.image;
  const store = (replace) => queued(() => send("POST", here("save"), { revision: page.state.revision, known: {}, replace }));
  try {
    let state;
    try {
      state = await store(false);
    } catch (error) {
      if (error.status !== 412) throw error;
      const choice = await ask("Someone else has saved this image since you opened it.", [
        ["Keep mine as a draft", null], ["Discard mine, load theirs", "discard"], ["Replace theirs with mine", "replace"],
      ]);
      if (page.image !== key || !choice) return;
      if (choice === "discard") {
        masks.clear();
        change("POST", "discard");
        return;
      }
      state = await store(true);
    }
    if (page.image !== key) return;
    masks.clear();
    take(state);
    say(`Saved to ${page.info.results}.`);
  } catch (error) {
    await fail(error);
  }
}

async function exportAll(format) {
  try {
    await settled();
    say("Exporting…");
    const answer = await download(`api/tabs/${page.tab}/export?format=${format}`);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "export";
    const url = URL.createObjectURL(await answer.blob());
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    say(`Exported ${name}.`);
  } catch (error) {
    await fail(error);
  }
}

// ---- objects and tools ---------------------------------------------------------------------------------------

function select(id) {
  leaveLevels();
  if (id !== undefined && id !== page.state?.active) change("POST", `objects/${id}/select`);
}

function newObject() {
  leaveLevels();
  change("POST", "objects", {});
}

async function remove(object = active()) {
  if (!object) return;
  const sure = !object.actions || await ask(`Delete “${object.name}”? This cannot be undone.`, [["Cancel", false], ["Delete", true]]);
  if (sure) change("DELETE", `objects/${object.id}`);
}

function choose(tool) {
  if (tool !== "region") leaveLevels();
  page.tool = tool;
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-checked", String(button.dataset.tool === tool));
  say({
    click: "Click on the object to add; right click or Alt + click to remove.",
    region: "Click on a patch, then move the slider until the outline fits.",
    box: "Draw a box around the object.",
    scribble: "Draw a line over the object to add; with the right button or Alt, to remove.",
  }[tool]);
}

function setSign(adds) {
  page.adds = adds;
  for (const button of document.querySelectorAll("[data-sign]")) button.setAttribute("aria-checked", String((button.dataset.sign === "add") === adds));
}

function click(place, adds) {
  if (page.tool === "region" && adds) { showLevels(place); return; }
  leaveLevels();
  change("POST", "click", { ...place, positive: adds }, { pending: [{ ...place, positive: adds }], timed: true });
}

function box([top, left, bottom, right]) {
  change("POST", "box", { top, left, bottom, right }, { timed: true });
}

function scribble(points, adds) {
  change("POST", "scribble", { points, positive: adds }, { timed: true });
}

// ---- regions of the merge tree -------------------------------------------------------------------------------

function showLevels(place) {
  const key = page.image;
  queued(async () => {
    try {
      const answer = await send("POST", here("levels"), place);
      if (page.image !== key || page.tool !== "region") return;
      view.levels = new Levels({ ...answer, ...place });
      find("level").max = view.levels.count - 1;
      find("levels").hidden = false;
      setLevel(view.levels.level);
    } catch (error) {
      await fail(error);
    }
  });
}

function setLevel(level) {
  if (!view.levels) return;
  view.levels.choose(level, colourOf(active()?.id ?? page.state.next));
  const { levels } = view;
  find("level").value = levels.level;
  const share = 100 * levels.shares[levels.level];
  const text = `${levels.level + 1} of ${levels.count} · ${share < 1 ? share.toFixed(2) : share.toFixed(1)} %`;
  find("level-text").textContent = text;
  find("level").setAttribute("aria-valuetext", `${text} of the image`);
  view.draw();
}

function leaveLevels() {
  if (!view.levels) return;
  view.levels = null;
  find("levels").hidden = true;
  view.draw();
}

async function takeLevel() {
  const { levels } = view;
  if (!levels) return;
  const done = change("POST", "level", { row: levels.row, col: levels.col, level: levels.numbers[levels.level] }, { timed: true });
  if (await done && view.levels === levels) leaveLevels();
}

// ---- the keyboard --------------------------------------------------------------------------------------------

function moveCross(down, right, fine) {
  if (!page.state) return;
  const by = fine ? 1 : Math.max(1, Math.round(12 / view.scale));
  const from = view.cross ?? view.near(view.canvas.clientWidth / 2, view.canvas.clientHeight / 2);
  view.cross = {
    row: Math.max(0, Math.min(view.height - 1, from.row + down * by)),
    col: Math.max(0, Math.min(view.width - 1, from.col + right * by)),
  };
  const [x, y] = view.place(view.cross);
  const { clientWidth, clientHeight } = view.canvas;
  view.pan(x < 20 ? 20 - x : Math.min(0, clientWidth - 20 - x), y < 20 ? 20 - y : Math.min(0, clientHeight - 20 - y));
  say(`Cross at row ${view.cross.row}, column ${view.cross.col}.`);
}

const actions = {
  tool: choose,
  sign: () => setSign(!page.adds),
  look: () => { leaveLevels(); if (active()?.clicks.length === 1) change("POST", "look", {}, { timed: true }); },
  undo: () => { leaveLevels(); if (active()?.undoable || view.pending.length) change("POST", "undo"); },
  redo: () => { leaveLevels(); if (active()?.redoable) change("POST", "redo"); },
  newObject,
  object: (index) => select(page.state?.objects[index]?.id),
  rename: () => active() && objects.rename(active().id),
  remove: () => remove(),
  level: (by) => setLevel((view.levels?.level ?? 0) + by),
  enter: (away) => {
    if (view.levels) takeLevel();
    else if (view.cross) click(view.cross, page.adds !== away);
  },
  escape: () => { leaveLevels(); pointer.stop(); view.cross = null; view.draw(); },
  move: moveCross,
  hide: () => {
    view.hidden = !view.hidden;
    find("hide").setAttribute("aria-pressed", String(view.hidden));
    view.draw();
  },
  zoom: (factor) => view.zoom(factor),
  fit: () => page.state && view.fit(),
  step,
  save,
  help: () => find("help-dialog").showModal(),
};

// ---- wiring --------------------------------------------------------------------------------------------------

const adding = (event) => page.adds !== (event.button === 2 || event.altKey || (event.ctrlKey && event.button === 0));
const pointer = listen(view, () => page.tool, adding, {
  click: (place, adds) => page.state && click(place, adds),
  box: (edges) => page.state && box(edges),
  scribble: (points, adds) => page.state && scribble(points, adds),
});
listenToKeys(view.canvas, actions);
fillTable(find("key-table"), KEYS);
menu(find("export"), find("export-menu"), exportAll);
view.onzoom = (scale) => { find("zoom").textContent = `${scale < 0.1 ? (100 * scale).toFixed(1) : Math.round(100 * scale)} %`; };

const on = (id, event, action) => find(id).addEventListener(event, action);
for (const button of document.querySelectorAll("[data-tool]")) button.addEventListener("click", () => choose(button.dataset.tool));
for (const button of document.querySelectorAll("[data-sign]")) button.addEventListener("click", () => setSign(button.dataset.sign === "add"));
on("previous", "click", () => step(-1));
on("next", "click", () => step(1));
on("save", "click", save);
on("undo", "click", actions.undo);
on("redo", "click", actions.redo);
on("reset", "click", () => { leaveLevels(); change("POST", "reset"); });
on("zoom-in", "click", () => view.zoom(1.25));
on("zoom-out", "click", () => view.zoom(0.8));
on("fit", "click", actions.fit);
on("new-object", "click", newObject);
on("hide", "click", actions.hide);
on("help", "click", actions.help);
on("level", "input", (event) => setLevel(Number(event.target.value)));
on("level", "keydown", (event) => { if (event.key === "Enter") takeLevel(); });
on("use-level", "click", takeLevel);
on("leave-level", "click", leaveLevels);
on("opacity", "input", (event) => {
  view.opacity = event.target.value / 100;
  find("opacity-text").textContent = `${event.target.value} %`;
  view.draw();
});
on("load-mask", "change", (event) => {
  const [file] = event.target.files;
  if (file) change("POST", "mask", file, { timed: true });
  event.target.value = "";
});
for (const close of document.querySelectorAll("dialog .close")) close.addEventListener("click", () => close.closest("dialog").close());

/** Ask for the token until it is right. */
function askToken(wrong) {
  const dialog = find("token-dialog");
  find("token-error").textContent = wrong ? "Wrong token." : "";
  dialog.showModal();
  return new Promise((answer) => {
    find("token-form").addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      answer(find("token").value.trim());
    }, { once: true });
    dialog.addEventListener("cancel", (event) => event.preventDefault());
  });
}

async function begin() {
  let token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (location.hash) history.replaceState(null, "", location.pathname);
  while (page.tab === null) {
    try {
      page.tab = await openTab(token);
    } catch (error) {
      if (error.status !== 401) throw error;
      token = await askToken(Boolean(token));
    }
  }
  const [info, list] = await Promise.all([get("api/info"), get(`api/tabs/${page.tab}/images`)]);
  page.info = info;
  find("model").textContent = info.model;
  document.querySelector("[data-format=nifti]").hidden = !info.volumes;
  find("model").title = info.trained ? `Clicks are answered by ${info.model}` : "Clicks are answered by the merge tree of the image, without a trained model.";
  find("answerer").textContent = info.trained ? "Model" : "Model (none)";
  find("about").textContent = `mis_lightning ${info.version}. Masks are saved in ${info.results}.`;
  images.fill(list);
  choose("click");
  const last = sessionStorage.getItem("mis-image");
  const first = list.find((image) => image.key === last) ?? list.find((image) => image.state !== "saved") ?? list[0];
  await openImage(first?.key);
}

begin().catch((error) => {
  find("busy").hidden = true;
  if (!(error instanceof Refused)) throw error;
  notice(error.message);
});
