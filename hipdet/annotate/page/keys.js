// One table defines what the keys do and what the help says of them.

/** `actions` by name; returns rows [keys, text] for the overlay. */
export function connectKeys(actions, blocked) {
  const step = (dx, dy) => (event) => actions.move(dx * (event.shiftKey ? 10 : 1), dy * (event.shiftKey ? 10 : 1));
  const table = [
    ["Enter", "accept what is shown, go to the next open film", ["Enter"], actions.accept],
    ["N  PageDown", "next film", ["n", "PageDown"], actions.next],
    ["P  PageUp", "previous film", ["p", "PageUp"], actions.previous],
    ["J", "next open film", ["j"], actions.nextOpen],
    ["G", "all films", ["g"], actions.list],
    ["← ↑ → ↓", "move the box by 1 px (Shift: 10)", ["ArrowLeft"], step(-1, 0)],
    [null, null, ["ArrowRight"], step(1, 0)],
    [null, null, ["ArrowUp"], step(0, -1)],
    [null, null, ["ArrowDown"], step(0, 1)],
    // Shift has no meaning here: some keyboards need it for +
    ["+  −", "larger, smaller by 2 px", ["+", "="], () => actions.grow(2)],
    [null, null, ["-"], () => actions.grow(-2)],
    [".  ,", "larger, smaller by 20 px", ["."], () => actions.grow(20)],
    [null, null, [","], () => actions.grow(-20)],
    ["Tab", "select the next box", ["Tab"], actions.selectNext],
    ["Del", "delete the box", ["Delete", "Backspace"], actions.remove],
    ["K", "cut by the film's edge: neither ROI nor background", ["k"], actions.cut],
    ["1 … 9", "class of the box", ["1", "2", "3", "4", "5", "6", "7", "8", "9"], (event) => actions.setClass(Number(event.key) - 1)],
    ["Ctrl Z", "undo", ["ctrl+z"], actions.undo],
    ["Ctrl Y", "redo", ["ctrl+y", "ctrl+Z"], actions.redo],
    ["E", "no ROI on this film, or undo that", ["e"], actions.none],
    ["X", "exclude with a reason, or include again", ["x"], actions.exclude],
    ["U", "unsure: ask for a second opinion", ["u"], actions.unsure],
    ["I", "invert", ["i"], actions.invert],
    ["B  Shift B", "brighter, darker", ["b"], () => actions.light("brightness", 10)],
    [null, null, ["B"], () => actions.light("brightness", -10)],
    ["C  Shift C", "more, less contrast", ["c"], () => actions.light("contrast", 10)],
    [null, null, ["C"], () => actions.light("contrast", -10)],
    ["0", "reset brightness and contrast", ["0"], actions.resetLight],
    ["Z  Shift Z", "zoom in, out", ["z"], () => actions.zoom(1.25)],
    [null, null, ["Z"], () => actions.zoom(0.8)],
    ["F", "fit the film", ["f"], actions.fit],
    ["O", "sort by name, or doubtful films first", ["o"], actions.order],
    ["Esc", "cancel a box, deselect", ["Escape"], actions.escape],
    ["?", "show these keys", ["?"], actions.help],
  ];
  const byKey = new Map(table.flatMap(([, , keys, act]) => keys.map((key) => [key, act])));

  addEventListener("keydown", (event) => {
    if (blocked() || event.altKey || event.target.matches("input:not([type=range])")) return;
    if (event.target.matches("input[type=range]") && event.key.startsWith("Arrow")) return;
    const name = event.ctrlKey || event.metaKey ? `ctrl+${event.key}` : event.key;
    const act = byKey.get(name) || (event.ctrlKey || event.metaKey ? null : byKey.get(name.toLowerCase()));
    if (!act) return;
    event.preventDefault();
    act(event);
  });
  return table.filter(([keys]) => keys).map(([keys, text]) => [keys, text]);
}
