// One page: what is shown, what is asked of the server, and what it answers. Every other module works through `page`.

import { Refused, get, queued, send } from "./api.js";
import { Mask } from "./masks.js";
import { find, notice, showTimes } from "./panels.js";
import { View } from "./view.js";

/**
 * Events, in the order of a session; `on` adds a handler, a handler that returns true ends the event:
 *   begun(info)          the tab is open, facts about the server are known
 *   leaving()            an image is about to be left
 *   opened(entry, state) an image is shown: its entry in the image list, and its state
 *   taking(state, changed)  a state of the image is about to be shown; `changed`: it answers a change
 *   taken(state)         a state of the image is shown, also after `opened`
 *   replaced(key, text)  the file of an image holds another image than before
 *   escape(), enter(away), wheel(event), undo(), redo(), delete(), digit(number)  the user's; `away`: with Alt or Shift
 */
class Page {
  constructor() {
    this.tab = null;
    this.image = null; // key of the image shown
    this.state = null; // of it, as the server described it last
    this.info = null;
    this.object = null; // on a slice of a volume: id of the object that is worked on, which may not be on the slice
    this.masks = new Map(); // id of an object -> Mask
    this.view = new View(find("canvas"));
    this.handlers = new Map();
  }

  on(event, handler) {
    if (!this.handlers.has(event)) this.handlers.set(event, []);
    this.handlers.get(event).push(handler);
  }

  /** Whether a handler took the event. */
  tell(event, ...values) {
    return (this.handlers.get(event) ?? []).some((handler) => handler(...values) === true);
  }

  /** The address of the image shown, or of something about it. */
  here(path = "") { return `api/tabs/${this.tab}/images/${this.image}${path && `/${path}`}`; }

  /** The active object, as the server describes it. */
  active() { return this.state?.objects.find((object) => object.id === this.state.active); }

  /** Say something in the status line. */
  say(text) { find("status").textContent = text; }

  /** Show a state of the image; `changed`: the answer to a change. */
  take(state, changed = false) {
    const { masks, view } = this;
    this.tell("taking", state, changed);
    this.state = state;
    const ids = new Set(state.objects.map((object) => object.id));
    for (const id of masks.keys()) if (!ids.has(id)) masks.delete(id);
    for (const { id, mask } of state.objects) {
      if (mask.runs !== null) masks.set(id, new Mask(mask.version, mask.runs, state.height, state.width));
    }
    view.show(state.objects.map(({ id, clicks }) => ({ id, clicks, mask: masks.get(id), active: id === state.active })));
    this.tell("taken", state);
    view.canvas.dataset.revision = state.revision; // what is shown, for tests
  }

  /**
   * Ask for a change of the image shown, after all changes asked for before; the answer is its new state.
   * @param body JSON values, or a Blob
   * @param pending clicks to show until they are answered
   * @param timed whether the answer of the model is told, and timed
   * @returns whether it was done
   */
  change(method, path, body = {}, { pending, timed = false } = {}) {
    const key = this.image;
    const { view } = this;
    if (!key || !this.state) return Promise.resolve(false);
    if (pending) {
      view.pending.push(...pending);
      view.draw();
    }
    return queued(async () => {
      if (this.image !== key) return false; // the user has moved on
      const asked = performance.now();
      try {
        const url = this.here(path);
        const whole = body instanceof Blob
          ? await send(method, `${url}?revision=${this.state.revision}`, body)
          : await send(method, url, { ...body, ...this.seen() });
        if (this.image !== key) return false;
        if (pending) view.pending.splice(0, pending.length);
        this.take(whole, true);
        if (timed) this.time(whole, performance.now() - asked);
        return true;
      } catch (error) {
        if (pending) view.pending.splice(0, pending.length);
        view.draw();
        await this.fail(error);
        return false;
      }
    });
  }

  /** What every change says of the state it refers to: its revision, and the masks the page has. */
  seen() {
    const known = Object.fromEntries([...this.masks].map(([id, mask]) => [id, mask.version]));
    return { revision: this.state.revision, known, object: this.object };
  }

  /** Show why the server refused; any other error is thrown on. `asked`: the image that was to be opened. */
  async fail(error, asked = null) {
    if (!(error instanceof Refused)) throw error;
    notice(error.message);
    this.say(error.message);
    if (error.status === 401) location.reload();
    if (error.status === 410) this.tell("replaced", this.image ?? asked, error.message);
    if (error.status === 409 && this.image) {
      const key = this.image;
      const state = await get(this.here());
      if (this.image === key) this.take(state);
    }
  }

  /** Say what an answer did, and note how long it took. */
  time({ times }, total) {
    showTimes({ total, model: times.model, rest: total - times.model });
    const object = this.active();
    const clicks = object.clicks.length;
    this.say(`${clicks ? `Click ${clicks} of ` : ""}${object.name}: ${object.area.toLocaleString("en")} pixels.`);
  }
}

export const page = new Page();
