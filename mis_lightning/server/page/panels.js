// The lists at the sides, and the dialogs. Text from the server is only ever set as text, never as markup.

import { colourOf, inkOn } from "./masks.js";

export const find = (id) => document.getElementById(id);

export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
  use.setAttribute("href", `#i-${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

/** A part of the right side, below the list of objects: its heading and what is in it. */
export function addPanel(id, title, ...children) {
  const panel = make("section", { id, className: "panel" }, make("h2", { textContent: title }), ...children);
  panel.setAttribute("aria-label", title);
  find("panels").append(panel);
  return panel;
}

const count = (number, one, many = `${one}s`) => `${number} ${number === 1 ? one : many}`;

/** The list of images. */
export class ImageList {
  constructor(open) {
    this.list = find("image-list");
    this.entries = new Map();
    this.open = open;
    find("filter").addEventListener("input", (event) => this.filter(event.target.value));
  }

  fill(images) {
    this.images = images;
    this.entries.clear();
    const volumes = Map.groupBy(images.filter((image) => image.volume !== null), (image) => image.volume);
    const items = new Map();
    for (const image of images) {
      const slices = volumes.get(image.volume) ?? [image];
      const middle = slices[Math.floor(slices.length / 2)];
      const name = image.volume ?? image.name;
      if (image === slices[0]) {
        const small = make("small");
        const button = make("button", { title: name },
          make("img", { alt: "", loading: "lazy", width: 64, height: 48, src: `api/images/${middle.key}/thumbnail` }),
          make("span", { className: "text" }, make("span", { className: "name", textContent: name }), small));
        button.addEventListener("click", () => this.open(this.entrance(image.key)));
        button.querySelector("img").addEventListener("error", async ({ target }) => {
          const answer = await fetch(target.src).catch(() => null); // a server that is gone says nothing about the image
          if (answer?.status === 422) this.mark(middle.key, "unreadable", 0);
        });
        items.set(name, { item: make("li", {}, button), button, small, slices, middle });
      }
      this.entries.set(image.key, { ...items.get(name), name, image });
      this.mark(image.key, image.state, image.objects);
    }
    this.list.replaceChildren(...[...items.values()].map(({ item }) => item));
    this.tell();
  }

  /** What opens when an entry of the list is chosen: the image; of a volume the slice seen last, or the middle one. */
  entrance(key) {
    const entry = this.entries.get(key);
    if (!entry || entry.image.volume === null) return key;
    return entry.slices.find((slice) => slice === entry.slices.last)?.key ?? entry.middle.key;
  }

  /** Whether two images are slices of one volume. */
  together(one, other) {
    const volume = this.entries.get(one)?.image.volume ?? null;
    return volume !== null && volume === this.entries.get(other)?.image.volume;
  }

  /** Say how far an image is: "none", "draft", "saved", or "unreadable". */
  mark(key, state, objects) {
    const entry = this.entries.get(key);
    if (!entry) return;
    Object.assign(entry.image, { state, objects });
    const { slices, name } = entry;
    const begun = slices.filter((slice) => slice.state !== "none");
    const saved = begun.length > 0 && begun.every((slice) => slice.state === "saved");
    const draft = begun.some((slice) => slice.state === "draft") ? ", draft" : "";
    const one = objects === null ? "masks to correct" : `${count(objects, "object")}${draft}`;
    const many = begun.length ? `${begun.length}/${slices.length} slices${draft}` : count(slices.length, "slice");
    const text = state === "unreadable" ? "cannot be read" : slices.length > 1 ? many : begun.length ? one : "not begun";
    entry.item.classList.toggle("unreadable", state === "unreadable");
    entry.item.classList.toggle("saved", saved);
    entry.small.replaceChildren(...(saved ? [icon("check")] : []), text);
    entry.button.setAttribute("aria-label", `${name}, ${saved ? "saved, " : ""}${text}`);
    this.tell();
  }

  current(key) {
    this.key = key;
    const shown = this.entries.get(key);
    for (const { button } of this.entries.values()) button.setAttribute("aria-current", String(button === shown?.button));
    if (shown) shown.slices.last = shown.image;
    shown?.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** The key of the image `by` places on, among those shown. */
  beside(by) {
    const shown = this.images.filter((image) => !this.entries.get(image.key).item.hidden || image.key === this.key);
    return shown[shown.findIndex((image) => image.key === this.key) + by]?.key;
  }

  filter(text) {
    for (const { item, image } of this.entries.values()) item.hidden = !image.name.toLowerCase().includes(text.toLowerCase());
  }

  tell() {
    const number = (state) => this.images.filter((image) => image.state === state).length;
    const [saved, broken] = [number("saved"), number("unreadable")];
    find("progress-text").textContent = `${saved} of ${count(this.images.length - broken, "image")} saved${broken ? `, ${broken} unreadable` : ""}`;
    Object.assign(find("progress"), { max: Math.max(1, this.images.length - broken), value: saved });
  }
}

/** The list of objects. */
export class ObjectList {
  constructor(actions) {
    this.list = find("object-list");
    this.actions = actions;
  }

  fill(objects, active) {
    const { scrollTop } = this.list;
    const focused = this.list.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
    this.list.replaceChildren(...objects.map((object) => this.item(object, object.id === active)));
    if (!objects.length) this.list.append(make("li", {}, make("small", { textContent: "Click on the image to start the first object." })));
    this.list.scrollTop = scrollTop;
    this.reveal(this.list.querySelector(".active"));
    if (focused) this.list.querySelector(`[data-focus="${focused}"]`)?.focus();
  }

  /** Scroll the list, and nothing else, until an item is in sight. */
  reveal(item) {
    if (!item) return;
    const [top, bottom] = [item.offsetTop, item.offsetTop + item.offsetHeight];
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
  }

  item(object, active) {
    const colour = colourOf(object.id);
    const swatch = make("span", { className: "swatch", textContent: object.id });
    swatch.style.background = colour;
    swatch.style.color = inkOn(colour);
    const choose = make("button", { className: "choose", title: object.name }, swatch,
      make("span", { className: "text" }, make("span", { className: "name", textContent: object.name }),
        make("small", { textContent: `${object.area ? `${object.area.toLocaleString("en")} px` : "empty"}${object.category ? ` · ${object.category}` : ""}` })));
    choose.setAttribute("aria-pressed", String(active));
    choose.dataset.focus = `choose-${object.id}`;
    choose.addEventListener("click", () => this.actions.select(object.id));
    choose.addEventListener("dblclick", () => this.rename(object.id));
    const item = make("li", { className: active ? "active" : "" }, choose);
    item.dataset.object = object.id;
    for (const [name, label, action] of [["pen", "Rename", () => this.rename(object.id)], ["bin", "Delete", () => this.actions.remove(object)]]) {
      const button = make("button", { className: "icon", title: label }, icon(name));
      button.setAttribute("aria-label", `${label} ${object.name}`);
      button.dataset.focus = `${name}-${object.id}`;
      button.addEventListener("click", action);
      item.append(button);
    }
    item.object = object;
    return item;
  }

  rename(id) {
    const item = this.list.querySelector(`[data-object="${id}"]`);
    if (!item) return;
    const field = make("input", { type: "text", value: item.object.name, maxLength: 100 });
    field.setAttribute("aria-label", "Name of the object");
    let over = false;
    const end = (keep) => {
      if (over) return;
      over = true;
      const name = field.value.trim();
      field.replaceWith(item.querySelector(".choose") ?? this.chosen);
      if (keep && name && name !== item.object.name) this.actions.name(id, name);
      this.list.querySelector(`[data-focus="choose-${id}"]`)?.focus();
    };
    field.addEventListener("keydown", (event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    });
    field.addEventListener("blur", () => end(true));
    this.chosen = item.querySelector(".choose");
    this.chosen.replaceWith(field);
    field.select();
  }
}

/** Ask a question; the value of the button chosen, null for none. */
export function ask(text, choices) {
  const dialog = find("question");
  find("question-text").textContent = text;
  return new Promise((answer) => {
    let value = null;
    find("question-buttons").replaceChildren(...choices.map(([label, result], i) => {
      const button = make("button", { textContent: label, className: i === choices.length - 1 ? "primary" : "" });
      button.addEventListener("click", () => { value = result; dialog.close(); });
      return button;
    }));
    dialog.addEventListener("close", () => answer(value), { once: true });
    dialog.showModal();
    find("question-buttons").lastElementChild.focus();
  });
}

let fading;

/** Take the message away. */
export function quiet() {
  find("notice").hidden = true;
}

/** Show a message for a while. */
export function notice(text) {
  const place = find("notice");
  place.textContent = text;
  place.hidden = false;
  clearTimeout(fading);
  fading = setTimeout(() => { place.hidden = true; }, 4000 + 50 * text.length);
}

/** Times of one answer, in ms: {total, model, rest}. */
export function showTimes(times) {
  for (const place of document.querySelectorAll("[data-time]")) {
    const value = times[place.dataset.time];
    place.textContent = value === undefined ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  }
}

/** A menu under its button, with the keys of a menu. */
export function menu(button, list, chosen) {
  const all = [...list.querySelectorAll('[role="menuitem"]')];
  const shown = () => all.filter((item) => !item.hidden);
  const toggle = (open) => {
    list.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    (open ? shown()[0] : button).focus();
  };
  button.addEventListener("click", () => toggle(list.hidden));
  list.addEventListener("keydown", (event) => {
    const items = shown();
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) items[(to + items.length) % items.length].focus();
    else if (event.key === "Escape") toggle(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  for (const item of all) item.addEventListener("click", () => { toggle(false); chosen(item.dataset.format); });
  addEventListener("pointerdown", (event) => {
    if (list.hidden || event.target.closest(".menu")) return;
    list.hidden = true;
    button.setAttribute("aria-expanded", "false");
  });
}
