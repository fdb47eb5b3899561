// The keyboard: one table that is both obeyed and shown in the help.

import { find } from "./panels.js";

const obeyed = new Map();

/**
 * Add keys.
 * @param keys as they are shown in the help, such as ["Ctrl+Z"]
 * @param what they do
 * @param on {name: (event) => …}: names are in small letters, with "ctrl+", "shift+" after it, and "alt+" before, as in
 *   "f", "delete", "ctrl+shift+z", "alt+u". Shift counts with Ctrl only, for "?" is typed with it. Cmd is Ctrl.
 */
export function addKeys(keys, what, on) {
  const row = find("key-table").insertRow();
  const head = document.createElement("th");
  head.scope = "row";
  keys.forEach((key, i) => {
    if (i) head.append(" ");
    const shown = document.createElement("kbd");
    shown.textContent = key;
    head.append(shown);
  });
  row.append(head);
  row.insertCell().textContent = what;
  for (const [name, action] of Object.entries(on)) {
    if (obeyed.has(name)) throw new Error(`Two actions for the key ${name}`);
    obeyed.set(name, action);
  }
}

const ON_IMAGE = ["arrowup", "arrowdown", "arrowleft", "arrowright"]; // elsewhere they move in lists and sliders
const ON_PAGE = ["enter"]; // elsewhere it presses a button

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  const { key, target, altKey } = event;
  const typing = target.matches?.('input[type="text"], input[type="search"], input[type="password"]');
  const command = event.ctrlKey || event.metaKey;
  const plain = key.toLowerCase();
  if (typing && !(command && plain === "s")) return;
  if (ON_IMAGE.includes(plain) && target.id !== "canvas") return;
  if (ON_PAGE.includes(plain) && target.id !== "canvas" && target !== document.body) return;
  const held = ON_PAGE.includes(plain) ? "" : `${altKey ? "alt+" : ""}${command ? "ctrl+" : ""}${command && event.shiftKey ? "shift+" : ""}`;
  const action = obeyed.get(held + plain);
  if (!action) return;
  event.preventDefault();
  action(event);
});
