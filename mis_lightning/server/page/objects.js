// The objects of the image: the list at the side, undo and redo.

import { waiting } from "./api.js";
import { addKeys } from "./keys.js";
import { page } from "./page.js";
import { ObjectList, find } from "./panels.js";

const objects = new ObjectList({
  select,
  remove,
  name: (id, name) => page.change("PATCH", `objects/${id}`, { name }),
});

/** What is being picked or drawn is left before the objects change. */
function change(...asked) {
  page.tell("escape");
  return page.change(...asked);
}

function select(id) {
  if (id !== undefined && id !== page.state?.active) change("POST", `objects/${id}/select`);
}

async function remove(object = page.active()) {
  if (object && await change("DELETE", `objects/${object.id}`)) page.say(`Deleted ${object.name}. Undo brings it back.`);
}

const erase = () => { if (!page.tell("delete")) remove(); };

/** The steps of the image, whichever object they were of. */
async function undo() {
  if (page.tell("undo")) return; // of what is being drawn, or of several slices
  if ((page.state?.undo || waiting()) && await change("POST", "undo")) page.say(`Undone: ${page.state.redo}.`);
}

async function redo() {
  if (page.tell("redo")) return;
  if ((page.state?.redo || waiting()) && await change("POST", "redo")) page.say(`Redone: ${page.state.undo}.`);
}

const begin = () => change("POST", "objects");

page.on("taken", (state) => {
  objects.fill(state.objects, state.active);
  const object = page.active();
  for (const [id, label, keys, step] of [["undo", "Undo", "Ctrl+Z", state.undo], ["redo", "Redo", "Ctrl+Y", state.redo]]) {
    find(id).disabled = !step;
    find(id).title = `${label}${step ? `: ${step}` : ""} (${keys})`;
  }
  find("reset").disabled = !object?.actions;
  find("load-mask").disabled = false;
  find("save").disabled = state.saved !== "draft";
  find("save-state").textContent = { none: "", draft: "Not saved yet", saved: "Saved" }[state.saved];
  find("save-state").className = state.saved;
});

addKeys(["Ctrl+Z"], "undo", { "ctrl+z": undo });
addKeys(["Ctrl+Y", "Ctrl+Shift+Z"], "redo", { "ctrl+y": redo, "ctrl+shift+z": redo });
addKeys(["N"], "new object", { n: begin });
addKeys(["1 – 9"], "class of the object; without classes: switch to an object", Object.fromEntries(
  [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => [String(number), () => {
    if (!page.tell("digit", number)) select(page.state?.objects[number - 1]?.id);
  }]),
));
addKeys(["R"], "rename the object", { r: () => page.active() && objects.rename(page.active().id) });
addKeys(["Delete"], "delete the object, or the click below the cross", { delete: erase, backspace: erase });
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("reset").addEventListener("click", () => change("POST", "reset"));
find("new-object").addEventListener("click", begin);
find("load-mask").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) page.change("POST", "mask", file, { timed: true });
  event.target.value = "";
});
