// The keyboard: one table that is both obeyed and shown in the help.

/** [keys as shown, what they do] */
export const KEYS = [
  [["C"], "click tool"],
  [["G"], "region tool: pick a level of the merge tree"],
  [["B"], "box tool"],
  [["S"], "scribble tool"],
  [["X"], "switch between adding and removing"],
  [["Ctrl+Z"], "undo"],
  [["Ctrl+Y", "Ctrl+Shift+Z"], "redo"],
  [["A"], "another answer to the first click"],
  [["N"], "new object"],
  [["1 – 9"], "switch to an object"],
  [["R"], "rename the object"],
  [["Delete"], "delete the object"],
  [["[", "]"], "region smaller, larger"],
  [["Enter"], "use the region, or click at the cross"],
  [["Esc"], "cancel the region or box"],
  [["↑", "↓", "←", "→"], "move the cross (Shift: by one pixel)"],
  [["H"], "hide or show masks"],
  [["+", "−", "0"], "zoom in, out, fit"],
  [[",", "."], "previous, next image"],
  [["Ctrl+S"], "save this image"],
  [["?"], "this help"],
];

export function fillTable(body) {
  for (const [keys, what] of KEYS) {
    const row = body.insertRow();
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
  }
}

const PLAIN = {
  c: ["tool", "click"], g: ["tool", "region"], b: ["tool", "box"], s: ["tool", "scribble"], x: ["sign"],
  a: ["look"], n: ["newObject"], r: ["rename"], delete: ["remove"], backspace: ["remove"], "[": ["level", -1], "]": ["level", 1],
  escape: ["escape"], h: ["hide"], "+": ["zoom", 1.25], "=": ["zoom", 1.25], "-": ["zoom", 0.8], "0": ["fit"],
  ",": ["step", -1], ".": ["step", 1], "?": ["help"],
};
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** Call `actions[name](…)` for the keys pressed outside text fields and dialogs. */
export function listenToKeys(canvas, actions) {
  addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    const { key, target } = event;
    const typing = target.matches?.('input[type="text"], input[type="search"], input[type="password"]');
    const command = event.ctrlKey || event.metaKey;
    if (command && key.toLowerCase() === "s") return run(event, "save");
    if (typing) return;
    if (command && key.toLowerCase() === "z") return run(event, event.shiftKey ? "redo" : "undo");
    if (command && key.toLowerCase() === "y") return run(event, "redo");
    if (command) return;
    if (target === canvas && ARROWS[key]) return run(event, "move", ...ARROWS[key], event.shiftKey);
    if (key === "Enter" && (target === canvas || target === document.body)) return run(event, "enter", event.altKey || event.shiftKey);
    if (event.altKey) return;
    if (/^[1-9]$/.test(key)) return run(event, "object", Number(key) - 1);
    const action = PLAIN[key.toLowerCase()];
    if (action) run(event, ...action);
  });

  function run(event, name, ...values) {
    event.preventDefault();
    actions[name](...values);
  }
}
