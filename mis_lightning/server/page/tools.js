// The tools of the toolbar: what a press on the image means.

import { addKeys } from "./keys.js";
import { find, icon, make } from "./panels.js";
import { page } from "./page.js";

const tools = new Map();
let adds = true;
let current = null;

/**
 * Add a tool to the toolbar.
 * @param name of the tool; its icon is `#i-<name>` in index.html
 * @param label on its button
 * @param key that chooses it, shown in its title and in the help
 * @param what it does, for the help
 * @param help said in the status line when it is chosen
 * @param press "click", "box" or "line": what the user draws
 * @param click (place, adds), box ([top, left, bottom, right], adds), line ([[row, col], …], adds): answer it
 * @param double () => answers the second press of a double click; without it that is nothing
 * @param moved (index, place), marked (index, adds): the marker of a click was dragged, or pressed
 * @param radius () => of the line in pixels of the image, for lines that have a width, colour () => of theirs, and
 *   paints (adds) => whether they paint
 * @param signed false: whether clicks add or remove makes no difference to it
 * @param enter, leave: called when it is chosen, and when another one is
 */
export function addTool(tool) {
  tools.set(tool.name, tool);
  const button = make("button", { title: `${tool.what} (${tool.key})` }, icon(tool.name), make("span", { textContent: tool.label }));
  button.setAttribute("role", "radio");
  button.dataset.tool = tool.name;
  button.setAttribute("aria-checked", "false");
  button.addEventListener("click", () => choose(tool.name));
  find("tools").append(button);
  addKeys([tool.key], tool.what[0].toLowerCase() + tool.what.slice(1), { [tool.key.toLowerCase()]: () => choose(tool.name) });
}

export function choose(name) {
  if (current !== tools.get(name)) current?.leave?.();
  current = tools.get(name);
  for (const button of document.querySelectorAll("[data-tool]")) button.setAttribute("aria-checked", String(button.dataset.tool === name));
  for (const button of document.querySelectorAll("[data-sign]")) button.disabled = current.signed === false;
  current.enter?.();
  page.say(current.help);
}

export const chosen = () => current;

/** Whether presses add, the other mouse button apart. */
export const adding = () => adds;

export function setSign(value) {
  if (current?.signed === false) return;
  adds = value;
  for (const button of document.querySelectorAll("[data-sign]")) button.setAttribute("aria-checked", String((button.dataset.sign === "add") === adds));
}

for (const button of document.querySelectorAll("[data-sign]")) button.addEventListener("click", () => setSign(button.dataset.sign === "add"));
