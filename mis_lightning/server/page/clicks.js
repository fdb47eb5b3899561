// The tools that are answered by clicks: click, box and scribble.

import { addKeys } from "./keys.js";
import { page } from "./page.js";
import { addTool } from "./tools.js";

/** Ask for a click; it is shown at once, hollow until it is answered. */
export function click(place, adds) {
  page.change("POST", "click", { ...place, positive: adds }, { pending: [{ ...place, positive: adds }], timed: true });
}

addTool({
  name: "click", label: "Click", key: "C", what: "Click", press: "click", click,
  help: "Click on the object to add; right click or Alt + click to remove.",
});
addTool({
  name: "box", label: "Box", key: "B", what: "Box", press: "box", click,
  help: "Draw a box around the object.",
  box: ([top, left, bottom, right]) => page.change("POST", "box", { top, left, bottom, right }, { timed: true }),
});
addTool({
  name: "scribble", label: "Scribble", key: "S", what: "Scribble", press: "line", click,
  help: "Draw a line over the object to add; with the right button or Alt, to remove.",
  line: (points, adds) => page.change("POST", "scribble", { points, positive: adds }, { timed: true }),
});
addKeys(["A"], "another answer to the first click", {
  a: () => {
    page.tell("escape");
    if (page.active()?.clicks.length === 1) page.change("POST", "look", {}, { timed: true });
  },
});
