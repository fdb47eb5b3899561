// The tools that are answered by clicks: click, box and scribble.

import { addKeys } from "./keys.js";
import { page } from "./page.js";
import { addTool } from "./tools.js";

const there = (place, adds) => [...page.active()?.clicks ?? [], ...page.view.pending].some(
  (click) => click.row === place.row && click.col === place.col && click.positive === adds,
);

/** Ask for a click; it is shown at once, hollow until it is answered. A second one at the same pixel is none. */
export function click(place, adds) {
  if (there(place, adds)) {
    page.say("There is a click already.");
    return;
  }
  page.change("POST", "click", { ...place, positive: adds }, { pending: [{ ...place, positive: adds }], timed: true });
}

async function erase(index) {
  if (await page.change("DELETE", `clicks/${index}`)) page.say("Deleted the click. Undo brings it back.");
}

page.on("delete", () => { // the click below the cross
  const { view } = page;
  const index = view.cross ? view.markerAt(...view.place(view.cross), 6) : -1;
  if (index >= 0) erase(index);
  return index >= 0;
});

addTool({
  name: "click", label: "Click", key: "C", what: "Click", press: "click", click,
  moved: (index, { row, col }) => page.change("PATCH", `clicks/${index}`, { row, col }, { timed: true }),
  marked: (index, adds) => (adds ? page.say("Drag the marker to move the click; right click on it to delete it.") : erase(index)),
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
