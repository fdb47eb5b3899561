// The page begins here. Each part of it is a module imported below; it works through `page`, see page.js.

import { Refused, get, openTab } from "./api.js";
import "./clicks.js";
import "./region.js";
import "./size.js";
import "./brush.js";
import "./classes.js";
import "./learning.js";
import "./alike.js";
import { exportAll, images, openImage, save, step } from "./images.js";
import { addKeys } from "./keys.js";
import "./objects.js";
import { page } from "./page.js";
import { find, menu, notice } from "./panels.js";
import { listen } from "./pointer.js";
import { adding, choose, chosen, setSign } from "./tools.js";
import "./volume.js";

export const { view } = page;

// ---- the view ------------------------------------------------------------------------------------------------

const adds = (event) => adding() !== (event.button === 2 || event.altKey || (event.ctrlKey && event.button === 0));
const pointer = listen(view, chosen, adds);

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
  page.say(`Cross at row ${view.cross.row}, column ${view.cross.col}.`);
}

function hide() {
  view.hidden = !view.hidden;
  find("hide").setAttribute("aria-pressed", String(view.hidden));
  view.draw();
}

function outlinesOnly() {
  view.outlines = !view.outlines;
  find("outlines").setAttribute("aria-pressed", String(view.outlines));
  view.draw();
}

const fit = () => page.state && view.fit();
const help = () => find("help-dialog").showModal();

page.on("escape", () => { pointer.stop(); view.cross = null; view.draw(); });
page.on("leaving", () => pointer.stop());

addKeys(["X"], "switch between adding and removing", { x: () => setSign(!adding()) });
addKeys(["Enter"], "use the region, or click at the cross", {
  enter: (event) => {
    const away = event.altKey || event.shiftKey;
    if (!page.tell("enter", away) && view.cross) chosen().click(view.cross, adding() !== away);
  },
});
addKeys(["Esc"], "cancel what is being drawn", { escape: () => page.tell("escape") });
addKeys(["↑", "↓", "←", "→"], "move the cross (Shift: by one pixel)", {
  arrowup: (event) => moveCross(-1, 0, event.shiftKey),
  arrowdown: (event) => moveCross(1, 0, event.shiftKey),
  arrowleft: (event) => moveCross(0, -1, event.shiftKey),
  arrowright: (event) => moveCross(0, 1, event.shiftKey),
});
addKeys(["H"], "hide or show masks", { h: hide });
addKeys(["O"], "outlines only", { o: outlinesOnly });
addKeys(["+", "−", "0"], "zoom in, out, fit", {
  "+": () => view.zoom(1.25), "=": () => view.zoom(1.25), "-": () => view.zoom(0.8), 0: fit,
});
addKeys([",", "."], "previous, next image", { ",": () => step(-1), ".": () => step(1) });
addKeys(["Ctrl+S"], "save this image", { "ctrl+s": save });
addKeys(["?"], "this help", { "?": help });

// ---- wiring --------------------------------------------------------------------------------------------------

menu(find("export"), find("export-menu"), exportAll);
view.onzoom = (scale) => { find("zoom").textContent = `${scale < 0.1 ? (100 * scale).toFixed(1) : Math.round(100 * scale)} %`; };

const on = (id, event, action) => find(id).addEventListener(event, action);
on("previous", "click", () => step(-1));
on("next", "click", () => step(1));
on("save", "click", save);
on("zoom-in", "click", () => view.zoom(1.25));
on("zoom-out", "click", () => view.zoom(0.8));
on("fit", "click", fit);
on("hide", "click", hide);
on("outlines", "click", outlinesOnly);
on("help", "click", help);
on("opacity", "input", (event) => {
  view.opacity = event.target.value / 100;
  find("opacity-text").textContent = `${event.target.value} %`;
  view.draw();
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
  document.querySelector("[data-format=volumes]").hidden = !info.volumes;
  find("model").title = info.trained ? `Clicks are answered by ${info.model}` : "Clicks are answered by the merge tree of the image, without a trained model.";
  find("answerer").textContent = info.trained ? "the model" : "the merge tree";
  find("about").textContent = `mis_lightning ${info.version}. Masks are saved in ${info.results}.`;
  images.fill(list);
  choose("click");
  page.tell("begun", info);
  const last = sessionStorage.getItem("mis-image");
  const first = list.find((image) => image.key === last) ?? list.find((image) => image.state !== "saved") ?? list[0];
  await openImage(first?.key === last ? last : images.entrance(first?.key));
}

addEventListener("pagehide", () => { // a page opened at once goes on in this tab
  if (page.tab) fetch(`api/tabs/${page.tab}/leave`, { method: "POST", keepalive: true, credentials: "same-origin" }).catch(() => {});
});
addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); }); // another may have it by now

begin().catch((error) => {
  find("busy").hidden = true;
  if (!(error instanceof Refused)) throw error;
  notice(error.message);
});
