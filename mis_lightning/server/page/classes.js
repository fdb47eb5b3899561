// The classes: a list for all images, and which one the active object has.

import { queued, send } from "./api.js";
import { page } from "./page.js";
import { addPanel, make } from "./panels.js";

const list = make("div", { className: "buttons" });
list.setAttribute("role", "group");
list.setAttribute("aria-label", "Class of the object");
const field = make("input", { type: "text", maxLength: 100, placeholder: "Add a class…" });
field.setAttribute("aria-label", "Add a class");
addPanel("classes", "Classes", list, field);

/** Give the active object a class; the one that it has already is taken away. */
function choose(category) {
  const object = page.active();
  if (!object) {
    page.say("Click on an object first, then choose its class.");
    return;
  }
  page.change("PUT", `objects/${object.id}/class`, { category: object.category === category ? null : category });
}

function show({ classes }) {
  const active = page.active();
  list.replaceChildren(...classes.map((name, i) => {
    const button = make("button", { title: `${name}${i < 9 ? ` (${i + 1})` : ""}; click again to remove it` },
      ...(i < 9 ? [make("kbd", { textContent: i + 1 })] : []), make("span", { className: "name", textContent: name }));
    button.setAttribute("aria-pressed", String(active?.category === name));
    button.addEventListener("click", () => choose(name));
    return button;
  }));
}

async function add() {
  const name = field.value.trim();
  if (!name) return;
  field.value = "";
  await queued(async () => {
    try {
      const classes = await send("POST", `api/tabs/${page.tab}/classes`, { name });
      if (page.state) {
        page.state.classes = classes;
        show(page.state);
      }
    } catch (error) {
      await page.fail(error);
    }
  });
}

field.addEventListener("keydown", (event) => {
  if (event.key === "Enter") add();
  if (event.key === "Escape") field.blur();
});
page.on("taken", show);
page.on("digit", (number) => {
  const { classes } = page.state ?? { classes: [] };
  if (number <= classes.length) choose(classes[number - 1]);
  return classes.length > 0;
});
