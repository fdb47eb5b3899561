// The region tool: nested regions of the merge tree about a pixel, one of which is taken.

import { queued, send } from "./api.js";
import { click } from "./clicks.js";
import { addKeys } from "./keys.js";
import { Levels } from "./masks.js";
import { page } from "./page.js";
import { find } from "./panels.js";
import { addTool, chosen } from "./tools.js";

const { view } = page;
const WHOLE = 1000; // end of the slider: the whole image
let levels = null;

/** Where a share of the image is on the slider: half of the levels are below 1 %, and have a fifth of it. */
const position = (share) => WHOLE * Math.cbrt(share);

function nearest(value) {
  const away = levels.shares.map((share) => Math.abs(position(share) - value));
  return away.indexOf(Math.min(...away));
}

function show(place) {
  const key = page.image;
  queued(async () => {
    try {
      const answer = await send("POST", page.here("levels"), place);
      if (page.image !== key || chosen().name !== "region") return;
      levels = new Levels({ ...answer, ...place }, view.height, view.width);
      find("levels").hidden = false;
      setLevel(levels.level);
    } catch (error) {
      await page.fail(error);
    }
  });
}

/** The region shown, if there is one. */
export const shown = () => levels;

function setLevel(level) {
  if (!levels) return;
  levels.choose(level, page.active()?.id ?? page.state.next);
  find("level").value = position(levels.shares[levels.level]);
  const share = 100 * levels.shares[levels.level];
  const text = `${levels.level + 1} of ${levels.count} · ${share < 1 ? share.toFixed(2) : share.toFixed(1)} %`;
  find("level-text").textContent = text;
  find("level").setAttribute("aria-valuetext", `${text} of the image`);
  view.draw();
}

function leaveLevels() {
  if (!levels) return;
  levels = null;
  find("levels").hidden = true;
  view.draw();
}

async function takeLevel() {
  if (!levels) return;
  const taken = levels;
  const done = page.change("POST", "level", { row: taken.row, col: taken.col, level: taken.numbers[taken.level] }, { timed: true });
  if (await done && levels === taken) leaveLevels();
}

addTool({
  name: "region", label: "Region", key: "G", what: "Region: pick a level of the merge tree",
  help: "Click on a patch, then move the slider until the outline fits.",
  press: "click",
  click: (place, adds) => {
    if (adds) { show(place); return; }
    leaveLevels();
    click(place, adds);
  },
  leave: leaveLevels,
});
addKeys(["[", "]"], "region smaller, larger", { "[": () => setLevel((levels?.level ?? 0) - 1), "]": () => setLevel((levels?.level ?? 0) + 1) });
view.layers.push((context) => { if (levels) view.drawLevels(context, levels); });
page.on("leaving", leaveLevels);
page.on("escape", leaveLevels);
page.on("enter", () => {
  if (levels) takeLevel();
  return Boolean(levels);
});
find("level").max = WHOLE;
find("level").addEventListener("input", (event) => setLevel(nearest(Number(event.target.value))));
find("level").addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (event.key === "Enter") takeLevel();
  if (!by) return;
  event.preventDefault(); // level by level
  setLevel(levels.level + by);
});
find("use-level").addEventListener("click", takeLevel);
find("leave-level").addEventListener("click", leaveLevels);
