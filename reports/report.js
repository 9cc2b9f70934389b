// What the whole page needs: a part that scrolls sideways can be reached by keyboard, a table is one tab stop, and paper shows
// what is folded away, but for settings, which lie beside the page.
"use strict";
(() => {
  const parts = [...document.querySelectorAll(".scroll")];
  const reachable = () => {
    for (const part of parts) {
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reachable);
  addEventListener("load", reachable);
  reachable();
  // on a phone a line of a table is a list, whose parts are named by their headings
  for (const table of document.querySelectorAll(".scroll > table.plain:not(.claims)")) {
    const heads = [];
    [...table.tHead.rows].forEach((row, r) => {
      let c = 0;
      for (const cell of row.cells) {
        while ((heads[r] ??= [])[c] !== undefined) c++;
        for (let i = 0; i < cell.rowSpan; i++) {
          for (let j = 0; j < cell.colSpan; j++) (heads[r + i] ??= [])[c + j] = i ? "" : cell.textContent.trim();
        }
        c += cell.colSpan;
      }
    });
    for (const row of table.tBodies[0].rows) {
      [...row.cells].forEach((cell, c) => {
        if (c && cell.colSpan === 1) cell.dataset.of ??= heads.map((head) => head[c]).filter(Boolean).join(", ");
      });
    }
    table.classList.add("listed");
  }
  // a table is one tab stop: arrows lead from one link or summary in it to the next, or to that of the same column
  const stops = "td a, th a, td summary, .reasons summary, .files a";
  const shown = (table) => [...table.querySelectorAll(stops)].filter((one) => one.offsetParent);
  const only = (table, stop) => {
    for (const one of table.querySelectorAll(stops)) one.tabIndex = one === stop ? 0 : -1;
  };
  const below = (from, row, step) => {
    for (row = row && row[step]; row; row = row[step]) {
      const found = [...row.querySelectorAll(stops)].find((one) => one.closest("td, th, .reasons, .files").dataset.of === from.dataset.of);
      if (found && found.offsetParent) return found;
    }
  };
  for (const table of document.querySelectorAll("figure.table, main table:not(figure.table table)")) {
    only(table, table.querySelector(stops));
    table.addEventListener("focusin", ({ target }) => target.matches(stops) && only(table, target));
    table.addEventListener("keydown", (event) => {
      const from = event.target, all = shown(table), at = all.indexOf(from), cell = from.closest("td, th, .reasons, .files");
      if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
      const to = { ArrowRight: all[at + 1], ArrowLeft: all[at - 1], Home: all[0], End: all.at(-1),
        ArrowDown: below(cell, cell.parentElement, "nextElementSibling"),
        ArrowUp: below(cell, cell.parentElement, "previousElementSibling") }[event.key];
      if (!to) return;
      event.preventDefault();
      to.focus();
    });
  }
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("main details:not([open], .settings)")];
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of folded) one.open = false;
  });
  // one of the contents' lists is open at a time, and a click in it closes it
  document.querySelector("nav").addEventListener("click", ({ target }) => {
    if (target.tagName === "A") for (const one of document.querySelectorAll("nav details")) one.open = false;
  });
})();
