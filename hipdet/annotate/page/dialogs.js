// The dialogs: keys, list of films, reasons, conflicts.

import { $ } from "./panel.js";

const MOST_LISTED = 300;

export const dialogOpen = () => Boolean(document.querySelector("dialog[open]"));

for (const dialog of document.querySelectorAll("dialog"))
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog && dialog.id !== "conflict") dialog.close();
  });

export function fillHelp(rows) {
  $("key-table").replaceChildren(...rows.map(([keys, text]) => {
    const row = document.createElement("div");
    row.append(Object.assign(document.createElement("kbd"), { textContent: keys }), text);
    return row;
  }));
}

export const showHelp = () => $("help").showModal();

export function showList(order, current, onChoose) {
  const refill = () => {
    const words = $("filter").value.trim().toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.names.filter((name) => {
      const tags = [order.statusOf(name), ...order.tagsOf(name)];
      return words.every((word) => name.toLowerCase().includes(word) || tags.includes(word));
    });
    const here = words.length ? 0 : Math.max(0, order.names.indexOf(current) - 50);
    $("films").replaceChildren(...found.slice(here, here + MOST_LISTED).map((name) => listed(order, name, name === current, choose)));
    $("list-note").textContent = found.length > MOST_LISTED ? `${MOST_LISTED} of ${found.length} films: type to narrow them down` : `${found.length} films`;
    $("films").querySelector(".current")?.scrollIntoView({ block: "center" });
    return found[0];
  };
  const choose = (name) => {
    $("list").close();
    onChoose(name);
  };
  $("filter").value = "";
  $("filter").oninput = refill;
  $("filter").onkeydown = (event) => {
    const first = event.key === "Enter" && refill();
    if (first) choose(first);
  };
  $("list").showModal();
  refill();
}

function listed(order, name, current, choose) {
  const item = document.createElement("li");
  const status = order.statusOf(name);
  item.dataset.status = status;
  item.classList.toggle("current", current);
  for (const text of [name, [status, ...order.tagsOf(name)].join(", ")])
    item.append(Object.assign(document.createElement("span"), { textContent: text }));
  item.addEventListener("click", () => choose(name));
  return item;
}

export function askReason(reasons, onChoose) {
  const choose = (reason) => {
    $("reasons").close();
    onChoose(reason);
  };
  $("reason-list").replaceChildren(...reasons.map((reason, n) => {
    const button = Object.assign(document.createElement("button"), { textContent: reason });
    button.append(Object.assign(document.createElement("kbd"), { textContent: n + 1 }));
    button.addEventListener("click", () => choose(reason));
    return button;
  }));
  $("other-reason").value = "";
  $("reasons").onkeydown = (event) => {
    const typing = event.target === $("other-reason");
    if (typing && event.key === "Enter" && event.target.value.trim()) choose(`other: ${event.target.value.trim()}`);
    else if (!typing && reasons[Number(event.key) - 1]) choose(reasons[Number(event.key) - 1]);
    else return;
    event.preventDefault();
  };
  $("reasons").showModal();
  $("reason-list").firstChild.focus();
}

let asked = Promise.resolve();

/** Ask which state of a film to keep, one film after the other; resolves to true for ours. */
export function askConflict(film, theirs) {
  asked = asked.then(() => ask(film, theirs));
  return asked;
}

function ask(film, theirs) {
  const boxes = (state) => state.none && !state.exclude ? "no ROI" : `${state.boxes.length} box${state.boxes.length === 1 ? "" : "es"}${state.exclude ? `, excluded: ${state.exclude}` : ""}`;
  const dialog = $("conflict");
  const replaced = String(film.size) !== String(theirs.size) ? ` Its file was replaced by a film of ${theirs.size?.join(" × ")} px.` : "";
  $("conflict-text").textContent = `${film.name}: saved there: ${boxes(theirs)}; here: ${boxes(film)}.${replaced}`;
  return new Promise((resolve) => {
    const choose = (mine) => {
      dialog.onclose = null;
      dialog.close();
      resolve(mine);
    };
    $("take-theirs").onclick = () => choose(false);
    $("keep-mine").onclick = () => choose(true);
    dialog.onkeydown = (event) => event.key === "Escape" && event.preventDefault(); // Escape decides nothing,
    dialog.onclose = () => dialog.showModal(); // nor does any other way to close a dialog
    dialog.showModal();
  });
}
