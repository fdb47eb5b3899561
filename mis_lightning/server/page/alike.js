// All like this: proposals from the objects that are marked, to accept or to reject.

import { get, send } from "./api.js";
import { addKeys } from "./keys.js";
import { Mask, colourOf } from "./masks.js";
import { page } from "./page.js";
import { addPanel, make } from "./panels.js";
import { addTool, choose, chosen } from "./tools.js";

const { view } = page;
const POLL = 500; // milliseconds between questions how far a search is
let found = []; // [{id, score, mask: Mask}], best first, of the image shown
let search = { state: "idle" };
let rejected = null; // numbers rejected last, until something else is done
let asked = 0; // number of the last question: older answers are dropped

const start = make("button", { id: "find-alike", textContent: "Find alike", title: "Find what looks like the marked objects (F)" });
const stop = make("button", { id: "stop-alike", textContent: "Cancel", hidden: true });
const folder = make("input", { type: "checkbox", id: "alike-folder" });
const bar = make("progress", { id: "alike-progress", hidden: true, max: 1, value: 0 });
bar.setAttribute("aria-label", "Images searched");
const slider = make("input", { type: "range", id: "alike-score", min: 0, max: 100, step: 1, value: 50 });
const text = make("output", { id: "alike-text" });
text.setAttribute("for", "alike-score");
const all = make("button", { id: "accept-alike", disabled: true });
addPanel("alike", "All like this",
  make("div", { className: "buttons" }, start, stop),
  make("label", {}, folder, " on all images of the folder"), bar,
  make("div", { className: "row spread" }, make("label", { htmlFor: "alike-score", textContent: "Lowest score" }), text),
  slider, all);

const visible = () => found.filter(({ score }) => 100 * score >= Number(slider.value));
const here = (path = "") => page.here(`alike${path && `/${path}`}`);

function show() {
  const count = visible().length;
  text.textContent = `${slider.value} %: ${count} of ${found.length}`;
  all.textContent = count ? `Accept ${count === 1 ? "one" : `all ${count}`}` : "Nothing to accept";
  all.disabled = !count;
  const running = search.state === "running";
  stop.hidden = bar.hidden = !running;
  start.disabled = running;
  if (running) Object.assign(bar, search.total > 1 ? { max: search.total, value: search.done } : {});
  if (running && search.total < 2) bar.removeAttribute("value"); // it cannot be told how far
  view.canvas.dataset.proposals = String(count); // for tests
  view.draw();
}

/** Take an answer of the server. */
function take(answer) {
  const before = search.state;
  search = answer;
  found = answer.proposals.map(({ id, score, mask }) => ({
    id, score, mask: found.find((one) => one.id === id)?.mask ?? new Mask(mask.version, mask.runs, page.state.height, page.state.width),
  }));
  show();
  if (answer.state === "running") setTimeout(refresh, POLL);
  if (before !== "running") return;
  if (answer.state === "failed") page.say(answer.message);
  if (answer.state === "done") {
    page.say(found.length
      ? `${visible().length} proposals. Click on one to accept it, right click to reject it; Y and J do the same with the best one.`
      : "Nothing was found here. Mark another object, of a different brightness or size.");
  }
}

/** Ask something about proposals; the answer is the list. */
async function ask(work) {
  const key = page.image;
  asked += 1;
  const mine = asked;
  try {
    const answer = await work();
    if (page.image === key && page.state && mine === asked) take(answer);
  } catch (error) {
    await page.fail(error);
  }
}

const refresh = () => page.image && ask(() => get(here()));

function find() {
  if (!page.state) return;
  choose("alike");
  rejected = null;
  page.say("Searching…");
  ask(() => send("POST", here(), { folder: folder.checked }));
}

function accept(proposals) {
  if (proposals.length) page.change("POST", "alike/accept", { proposals: proposals.map(({ id }) => id) });
}

async function reject(one) {
  if (!one) return;
  await ask(() => send("POST", here("reject"), { proposals: [one.id] }));
  rejected = [...(rejected ?? []), one.id];
  page.say("Rejected. The next search learns from it; undo brings it back.");
}

/** The smallest proposal shown at a pixel. */
function at({ row, col }) {
  const pixel = row * view.width + col;
  const holds = ({ mask: { runs } }) => {
    for (let i = 0; i < runs.length; i += 2) if (runs[i] <= pixel && pixel < runs[i + 1]) return true;
    return false;
  };
  const area = ({ mask: { runs } }) => runs.reduce((sum, edge, i) => sum + (i % 2 ? edge : -edge), 0);
  return visible().filter(holds).sort((a, b) => area(a) - area(b))[0];
}

addTool({
  name: "alike", label: "Alike", key: "F", what: "Find alike: accept or reject proposals", press: "click",
  help: "Find alike searches for what looks like the marked objects. Click on a proposal to accept it, right click to reject it.",
  click: (place, adds) => {
    const one = at(place);
    if (!one) page.say("There is no proposal. The click tool (C) marks objects.");
    else if (adds) accept([one]);
    else reject(one);
  },
});
addKeys(["Y", "J"], "accept, reject the best proposal (the bold outline)", {
  y: () => accept(visible().slice(0, 1)),
  j: () => reject(visible()[0]),
});
view.layers.push((context) => {
  if (!page.state) return;
  visible().forEach(({ mask, score }, i) => {
    context.globalAlpha = 0.45 + 0.55 * score;
    context.setLineDash([5 / view.scale, 3 / view.scale]);
    view.outline(context, mask.outline, colourOf(page.state.next), i || chosen()?.name !== "alike" ? 1.5 : 3);
  });
});
page.on("leaving", () => {
  asked += 1;
  found = [];
  rejected = null;
  show();
});
page.on("taken", () => {
  rejected = null;
  if (search.state !== "idle") refresh();
});
page.on("undo", () => {
  if (!rejected) return false;
  const back = rejected.pop();
  if (!rejected.length) rejected = null;
  ask(() => send("POST", here("restore"), { proposals: [back] }));
  page.say("The rejected proposal is back.");
  return true;
});
start.addEventListener("click", find);
stop.addEventListener("click", () => ask(() => send("POST", here("cancel"))));
slider.addEventListener("input", show);
all.addEventListener("click", () => accept(visible()));
show();
