
"use strict";
// Reads no data: every node is escaped markup already in the page. This hides, shows and copies it.
(() => {
  const tree = document.getElementById("tree");
  const details = document.getElementById("details");
  const find = document.getElementById("find");
  const filter = document.getElementById("filter");
  const count = document.getElementById("count");
  const items = Array.from(tree.querySelectorAll("li"));
  const texts = new Map(items.map((item) => [item, ownText(item).toLowerCase()]));
  const opened = new Set(items.filter((item) => item.firstElementChild.open));
  const keep = {
    all: () => true,
    best: (item) => item.classList.contains("best"),
    answers: (item) => item.querySelector(":scope > details > summary b:not(.dropped):not(.stop)"),
    visited: (item) => !item.classList.contains("dropped") && !item.querySelector(":scope > details > summary .q-none"),
    dropped: (item) => item.classList.contains("dropped"),
  };

  function ownText(item) {
    const parts = item.querySelectorAll(":scope > details > summary, :scope > details > .about");
    return Array.from(parts, (part) => part.textContent).join(" ");
  }
  function summaryOf(item) { return item.querySelector(":scope > details > summary"); }
  function parentOf(item) { return item.parentElement.closest("li"); }

  function choose(item, scroll) {
    for (const old of tree.querySelectorAll("summary.chosen")) old.classList.remove("chosen");
    for (let above = parentOf(item); above; above = parentOf(above)) above.firstElementChild.open = true;
    const summary = summaryOf(item);
    summary.classList.add("chosen");
    const about = item.querySelector(":scope > details > .about");
    details.replaceChildren(...Array.from(about.childNodes, (node) => node.cloneNode(true)));
    details.scrollTop = 0;
    if (scroll) summary.scrollIntoView({ block: "center" });
  }

  function show() {
    const words = find.value.trim().toLowerCase();
    const wanted = keep[filter.value];
    const active = words !== "" || filter.value !== "all";
    let matches = 0;
    const visible = new Set();
    for (const item of items) {
      if (!wanted(item) || !texts.get(item).includes(words)) continue;
      matches += 1;
      for (let at = item; at && !visible.has(at); at = parentOf(at)) visible.add(at);
    }
    for (const item of items) {
      item.classList.toggle("hide", !visible.has(item));
      item.firstElementChild.open = active ? visible.has(item) : opened.has(item);
    }
    count.textContent = active ? `${matches} of ${items.length} shown` : `${items.length} rows`;
  }

  function fromAddress() {
    const item = document.getElementById(location.hash.slice(1));
    if (item && items.includes(item)) choose(item, true);
  }

  tree.addEventListener("click", (event) => {
    const summary = event.target.closest("summary");
    if (summary) choose(summary.closest("li"), false);
  });
  tree.addEventListener("keydown", (event) => {
    const summary = event.target.closest("summary");
    if (!summary || !["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
      summary.parentElement.open = event.key === "ArrowRight";
      return;
    }
    const rows = Array.from(tree.querySelectorAll("summary")).filter((row) => row.offsetParent);
    const next = rows[rows.indexOf(summary) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) { next.focus(); choose(next.closest("li"), false); }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== find) { event.preventDefault(); find.focus(); }
  });
  const openAll = (open) => () => { for (const item of items) item.firstElementChild.open = open; };
  document.getElementById("open").addEventListener("click", openAll(true));
  document.getElementById("close").addEventListener("click", openAll(false));
  find.addEventListener("input", show);
  filter.addEventListener("change", show);
  window.addEventListener("hashchange", fromAddress);
  for (const control of document.querySelectorAll(".bar :disabled")) control.disabled = false;
  count.textContent = `${items.length} rows`;
  const best = items.filter((item) => item.classList.contains("best"));
  if (location.hash) fromAddress();
  else if (best.length) choose(best[best.length - 1], false);
})();
