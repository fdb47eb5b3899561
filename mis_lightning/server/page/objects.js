// The objects of the image: the list at the side, undo and redo.

import { addKeys } from "./keys.js";
import { page } from "./page.js";
import { ObjectList, ask, find } from "./panels.js";

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
  if (!object) return;
  const sure = !object.actions || await ask(`Delete “${object.name}”? This cannot be undone.`, [["Cancel", false], ["Delete", true]]);
  if (sure) change("DELETE", `objects/${object.id}`);
}

const undo = () => { if (page.active()?.undoable || page.view.pending.length) change("POST", "undo"); };
const redo = () => { if (page.active()?.redoable) change("POST", "redo"); };
const begin = () => change("POST", "objects");

page.on("taken", (state) => {
  objects.fill(state.objects, state.active);
  const object = page.active();
  find("undo").disabled = !object?.undoable;
  find("redo").disabled = !object?.redoable;
  find("reset").disabled = !object?.actions;
  find("load-mask").disabled = false;
  find("save").disabled = state.saved !== "draft";
  find("save-state").textContent = { none: "", draft: "Not saved yet", saved: "Saved" }[state.saved];
  find("save-state").className = state.saved;
});

addKeys(["Ctrl+Z"], "undo", { "ctrl+z": undo });
addKeys(["Ctrl+Y", "Ctrl+Shift+Z"], "redo", { "ctrl+y": redo, "ctrl+shift+z": redo });
addKeys(["N"], "new object", { n: begin });
addKeys(["1 – 9"], "switch to an object", Object.fromEntries(
  [1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => [String(number), () => select(page.state?.objects[number - 1]?.id)]),
));
addKeys(["R"], "rename the object", { r: () => page.active() && objects.rename(page.active().id) });
addKeys(["Delete"], "delete the object", { delete: () => remove(), backspace: () => remove() });
find("undo").addEventListener("click", undo);
find("redo").addEventListener("click", redo);
find("reset").addEventListener("click", () => change("POST", "reset"));
find("new-object").addEventListener("click", begin);
find("load-mask").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) page.change("POST", "mask", file, { timed: true });
  event.target.value = "";
});
