// What the whole page needs: a part that scrolls sideways can be reached by keyboard, and paper shows what is folded away.
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
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("main details:not([open])")];
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
