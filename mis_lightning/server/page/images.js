// The images: open one, save it, export all of them.

import { Refused, download, get, queued, send, settled } from "./api.js";
import { page } from "./page.js";
import { ImageList, ask, find, quiet, showTimes } from "./panels.js";

export const images = new ImageList((key) => openImage(key));

export async function openImage(key) {
  if (!key || key === page.image) return;
  page.tell("leaving");
  quiet();
  const together = images.together(page.image, key); // slices of a volume: the zoom stays
  page.image = key;
  page.state = null;
  page.masks.clear();
  if (!together) page.view.clear();
  delete page.view.canvas.dataset.revision;
  images.current(key);
  const entry = images.entries.get(key).image;
  find("image-name").textContent = entry.name;
  document.title = `${entry.name} – mis annotate`;
  find("busy").hidden = false;
  for (const id of ["undo", "redo", "reset", "save"]) find(id).disabled = true;
  showTimes({});
  page.say("");
  try {
    await settled();
    const load = async () => createImageBitmap(await (await download(entry.volume === null ? `api/images/${key}/picture` : page.here("picture"))).blob());
    const [picture, state] = await Promise.all([load(), get(page.here())]);
    if (page.image !== key) return;
    page.view.open(picture, state.height, state.width, together);
    page.take(state);
    sessionStorage.setItem("mis-image", key);
    page.say(`${state.width} × ${state.height} pixels. ${entry.name} is open.`);
    page.tell("opened", entry, state);
  } catch (error) {
    if (page.image === key) {
      page.image = null;
      if (error.status === 422) images.mark(key, "unreadable", 0);
      await page.fail(error, key);
    }
  } finally {
    if (page.image === key || !page.image) find("busy").hidden = true;
  }
}

/** Open the image `by` places on. */
export const step = (by) => openImage(images.beside(by));

/** The image was replaced on disk: the user says what becomes of the masks. */
async function replaced(key, message) {
  const choice = await ask(message, [["Not now", null], ["Keep the masks, drop the clicks", "masks"], ["Start anew", "new"]]);
  if (!choice || !key) return;
  try {
    await queued(() => send("POST", `api/tabs/${page.tab}/images/${key}/adopt`, { masks: choice === "masks" }));
  } catch (error) {
    await page.fail(error);
    return;
  }
  page.image = null;
  await openImage(key);
}

export async function save() {
  if (page.state?.saved !== "draft") return;
  const key = page.image;
  const store = (replace) => queued(() => send("POST", page.here("save"), { revision: page.state.revision, known: {}, replace }));
  try {
    let state;
    try {
      state = await store(false);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 412) throw error;
      const choice = await ask("Someone else has saved this image since you opened it.", [
        ["Keep mine as a draft", null], ["Discard mine, load theirs", "discard"], ["Replace theirs with mine", "replace"],
      ]);
      if (page.image !== key || !choice) return;
      if (choice === "discard") {
        page.masks.clear();
        page.change("POST", "discard");
        return;
      }
      state = await store(true);
    }
    if (page.image !== key) return;
    page.masks.clear();
    page.take(state);
    page.say(`Saved to ${page.info.results}.`);
  } catch (error) {
    await page.fail(error);
  }
}

export async function exportAll(format) {
  try {
    await settled();
    page.say("Exporting…");
    const answer = await download(`api/tabs/${page.tab}/export?format=${format}`);
    const name = /filename="([^"]+)"/.exec(answer.headers.get("content-disposition") ?? "")?.[1] ?? "export";
    const url = URL.createObjectURL(await answer.blob());
    Object.assign(document.createElement("a"), { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60000);
    page.say(`Exported ${name}.`);
  } catch (error) {
    await page.fail(error);
  }
}

page.on("replaced", (key, message) => { replaced(key, message); });
page.on("taken", (state) => images.mark(page.image, state.saved, state.objects.length));
