// The evidence behind a number: its images, errors by class, confusion and reliability. The page carries an index; images,
// outcomes and answers lie beside it as scripts (vggrepro/diagnosis/evidence.py), because a page from disk cannot fetch files.
"use strict";
(() => {
  const part = document.getElementById("evidence"), source = document.getElementById("evidence-index");
  if (!source) return;
  const index = JSON.parse(source.textContent), systems = index.systems;
  const by = (name) => part.querySelector(`[data-of="${name}"]`), within = (name) => part.querySelector(`[data-part="${name}"]`);
  const of = new Map(systems.flatMap((system, k) => system.cells.map((cell) => [cell, k])));
  const PAGE = 50, SQUARES = 20;
  let data, shown = { first: 0, second: null };

  function make(name, properties = {}, ...children) {
    const { data = {}, ...plain } = properties, one = Object.assign(document.createElement(name), plain);
    Object.assign(one.dataset, data);
    one.append(...children);
    return one;
  }

  const loaded = new Map();
  function load(name) {
    if (!loaded.has(name)) {
      loaded.set(name, new Promise((resolve, reject) => {
        const script = make("script", { src: `${index.beside}${name}.js` });
        script.onload = () => resolve(self.vggrepro[name]);
        script.onerror = () => {
          loaded.delete(name); // so that it is tried again
          reject(new Error(`${index.beside}${name}.js cannot be read: it has to lie beside this page.`));
        };
        document.head.append(script);
      }));
    }
    return loaded.get(name);
  }

  function bytes(text) {
    return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  }

  // [N]: 1 where a system is wrong, 0 where it is right, undefined where it was not judged
  function outcome(k, partial) {
    const bits = bytes(data.outcomes[k]), wrong = new Array(index.images);
    for (let i = 0; i < wrong.length; i++) wrong[i] = (bits[i >> 3] >> (7 - (i & 7))) & 1;
    if (partial) for (const i of data.images.left_out) wrong[i] = undefined;
    return wrong;
  }

  async function read(k) {
    data ??= { images: await load("images"), outcomes: await load("outcomes") };
    const system = systems[k], wrong = outcome(system.outcome, system.images < index.images);
    if (system.answers === null) return { system, wrong };
    const file = await load(`answers/${system.answers}`);
    const words = (text) => new Uint16Array(bytes(text).buffer);
    return { system, wrong, answers: words(file.labels), confidence: words(file.confidence).map((v) => v), file };
  }

  const title = (system) => `${system.table}: ${system.name}, ${system.quantity}`;
  const percent = (part, all) => (all ? ((100 * part) / all).toFixed(2) : "\u2013");
  const many = (n, name) => `${n.toLocaleString("en")} ${name}${n === 1 ? "" : "s"}`;

  // a table that is searched, sorted by its headings, and shown a page at a time; columns: name, value to sort by, content
  function list(host, columns, start) {
    let rows = [], sorted = start ?? null, down = false, pages = 1;
    const search = make("input", { type: "search", ariaLabel: `search ${host.dataset.name}` });
    const count = make("span"), more = make("button", { type: "button", textContent: "more" });
    const body = make("tbody"), head = make("tr");
    const table = make("table", { className: "plain listed" }, make("thead", {}, head), body);
    const scroll = make("div", { className: "scroll", role: "region", ariaLabel: host.dataset.name }, table);
    host.replaceChildren(make("p", { className: "note" }, make("label", {}, "search ", search), " ", count), scroll, more);
    const headings = columns.map((column, k) => {
      const button = make("button", { type: "button", textContent: column.name });
      button.onclick = () => {
        [down, sorted, pages] = [sorted === k ? !down : Boolean(column.down), k, 1];
        draw();
      };
      const cell = make("th", { scope: "col" }, button);
      head.append(cell);
      return cell;
    });
    function draw() {
      const wanted = search.value.trim().toLowerCase();
      const found = wanted ? rows.filter((row) => columns.some((c) => String(c.text(row)).toLowerCase().includes(wanted))) : [...rows];
      if (sorted !== null) {
        const { value } = columns[sorted], sign = down ? -1 : 1;
        const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
        found.sort((a, b) => sign * order(value(a), value(b)));
      }
      headings.forEach((cell, k) => {
        cell.ariaSort = k !== sorted ? "none" : down ? "descending" : "ascending";
      });
      count.textContent = found.length === rows.length ? many(rows.length, "line") : `${many(found.length, "line")} of ${rows.length.toLocaleString("en")}`;
      body.replaceChildren(...found.slice(0, pages * PAGE).map((row) =>
        make("tr", { className: "group" }, ...columns.map((c) => make("td", { data: { of: c.name } }, c.node ? c.node(row) : String(c.text(row)))))));
      more.hidden = found.length <= pages * PAGE;
      dispatchEvent(new Event("resize")); // whether the table scrolls by now
    }
    search.oninput = () => { pages = 1; draw(); };
    more.onclick = () => { pages++; draw(); };
    return (given) => { [rows, pages] = [given, 1]; draw(); };
  }

  const places = new Map();
  function picture(i) {
    if (!places.size) data.images.thumbnails.forEach((image, place) => places.set(image, place));
    const place = places.get(i), { side, sheet } = data.images;
    if (place === undefined) return "";
    const within = place % (sheet * sheet), sheetOf = Math.floor(place / (sheet * sheet));
    const one = make("img", { className: "thumbnail", alt: `image ${data.images.ids[i]}`, src: `${index.beside}thumbnails/${sheetOf}.jpg` });
    one.style.objectPosition = `${-side * (within % sheet)}px ${-side * Math.floor(within / sheet)}px`;
    return one;
  }

  const name = (c) => data.images.classes[c];
  const answer = (one, i) => `${name(one.answers[i])} (${percent(one.confidence[i], 65535)}%)`;

  function images(first, second, nets) {
    const show = by("show"), kinds = second ? ["mended", "broken", "both wrong", "both right", "all"] : ["wrong", "right", "all"];
    const of = (i) => (second ? (first.wrong[i] ? (second.wrong[i] ? 2 : 0) : second.wrong[i] ? 1 : 3) : 1 - first.wrong[i]);
    const names = second ? ["wrong, then right", "right, then wrong", "wrong under both", "right under both", "all"] : kinds;
    if (show.dataset.kinds !== kinds.join()) {
      show.replaceChildren(...names.map((text, k) => make("option", { value: k, textContent: text })));
      show.dataset.kinds = kinds.join();
    }
    const judged = first.wrong.map((w, i) => i).filter((i) => first.wrong[i] !== undefined && (!second || second.wrong[i] !== undefined));
    const labels = data.images.labels, rights = (i) => nets.filter((net) => !net.wrong[i]);
    const columns = [
      ...(data.images.thumbnails.length ? [{ name: "picture", value: (i) => i, text: () => "", node: picture }] : []),
      { name: "image", value: (i) => data.images.ids[i], text: (i) => data.images.ids[i] },
      { name: "class", value: (i) => name(labels[i]), text: (i) => name(labels[i]) },
      ...[first, second].filter((one) => one && one.answers).flatMap((one) => [
        { name: second ? `answer of ${one.system.name}` : "answer", value: (i) => name(one.answers[i]), text: (i) => name(one.answers[i]) },
        { name: "confidence (%)", value: (i) => one.confidence[i], text: (i) => percent(one.confidence[i], 65535), down: true },
      ]),
      ...(nets.length ? [{ name: `right nets, of ${nets.length}`, value: (i) => rights(i).length, text: (i) => `${rights(i).length} ${rights(i).map((net) => net.name).join("; ")}`, node: (i) => {
        const right = rights(i), all = right.length === nets.length;
        const missing = right.length > nets.length / 2 ? nets.filter((net) => net.wrong[i]) : [];
        const words = all ? "all" : !right.length ? "none" : missing.length ? `all but ${missing.map((n) => n.name).join("; ")}` : right.map((n) => n.name).join("; ");
        return make("span", {}, `${right.length} `, make("small", { textContent: words }));
      } }] : []),
    ];
    const draw = list(part.querySelector('[data-name="images"]'), columns);
    return () => {
      const kind = Number(show.value), wanted = by("class").value, agreed = by("nets").value;
      draw(judged.filter((i) => {
        if (kind < names.length - 1 && of(i) !== kind) return false;
        if (wanted && labels[i] !== Number(wanted)) return false;
        if (!agreed) return true;
        const right = rights(i).length;
        return agreed === "none" ? !right : agreed === "all" ? right === nets.length : right > 0 && right < nets.length;
      }));
    };
  }

  // of every class: images, wrong ones of each system, and what it is most often taken for
  function classes(first, second) {
    const rows = data.images.classes.map((_, c) => ({ c, n: 0, wrong: [0, 0], taken: new Map() }));
    data.images.labels.forEach((c, i) => {
      if (first.wrong[i] === undefined || (second && second.wrong[i] === undefined)) return;
      rows[c].n++;
      rows[c].wrong[0] += first.wrong[i];
      if (second) rows[c].wrong[1] += second.wrong[i];
      const a = first.answers && first.answers[i];
      if (first.answers && a !== c) rows[c].taken.set(a, (rows[c].taken.get(a) || 0) + 1);
    });
    const share = (row, k = 0) => row.wrong[k] / row.n;
    const most = (row) => [...row.taken].sort((a, b) => b[1] - a[1] || a[0] - b[0])[0];
    const taken = (row) => (row.taken.size ? `${name(most(row)[0])} (${most(row)[1]})` : "");
    const columns = [
      { name: "class", value: (row) => name(row.c), text: (row) => name(row.c) },
      { name: "images", value: (row) => row.n, text: (row) => row.n, down: true },
      { name: "wrong", value: (row) => row.wrong[0], text: (row) => row.wrong[0], down: true },
      { name: "error (%)", value: share, text: (row) => percent(row.wrong[0], row.n), down: true },
      ...(second ? [
        { name: "error compared (%)", value: (row) => share(row, 1), text: (row) => percent(row.wrong[1], row.n), down: true },
        { name: "difference", value: (row) => share(row, 1) - share(row), text: (row) => ((100 * (row.wrong[1] - row.wrong[0])) / row.n).toFixed(2), down: true },
      ] : []),
      ...(first.answers ? [{ name: "most often taken for", value: taken, text: taken }] : []),
    ];
    list(part.querySelector('[data-name="classes"]'), columns, 0)(rows.filter((row) => row.n));
  }

  function confusion({ answers, system }) {
    const host = within("confusion").querySelector(".matrix"), labels = data.images.labels, names = data.images.classes;
    const missing = "Of this system only ranks are known, not its answers.";
    host.replaceChildren(...(answers ? [] : [make("p", { className: "note", textContent: missing })]));
    const pairs = new Map();
    if (answers) answers.forEach((a, i) => pairs.set(labels[i] * names.length + a, (pairs.get(labels[i] * names.length + a) || 0) + 1));
    const count = (c, a) => pairs.get(c * names.length + a) || 0;
    if (answers && names.length <= SQUARES) {
      const most = Math.max(...pairs.values()), heads = names.map((text, a) => make("th", { scope: "col", textContent: a + 1, title: text, ariaLabel: text }));
      const rows = names.map((text, c) => make("tr", {}, make("th", { scope: "row", textContent: `${c + 1}. ${text}` }), ...names.map((_, a) => {
        const cell = make("td", { textContent: count(c, a) });
        cell.style.setProperty("--share", count(c, a) / most);
        if (c === a) cell.className = "right";
        return cell;
      })));
      const table = make("table", {}, make("thead", {}, make("tr", {}, make("td", { textContent: "class \u2193, answer \u2192" }), ...heads)), make("tbody", {}, ...rows));
      host.append(make("div", { className: "scroll", role: "region", ariaLabel: `confusion of ${system.name}` }, table));
    }
    const rows = [...pairs].map(([pair, n]) => ({ c: Math.floor(pair / names.length), a: pair % names.length, n }));
    const columns = [
      { name: "class", value: (row) => name(row.c), text: (row) => name(row.c) },
      { name: "answer", value: (row) => name(row.a), text: (row) => name(row.a) },
      { name: "images", value: (row) => row.n, text: (row) => row.n, down: true },
    ];
    list(part.querySelector('[data-name="pairs of classes"]'), columns)(rows.filter((row) => row.a !== row.c).sort((x, y) => y.n - x.n || x.c - y.c || x.a - y.a));
  }

  function reliability({ file }) {
    const host = within("reliability").querySelector(".bins"), bins = file ? file.bins : [];
    const says = file ? `Expected calibration error: ${percent(file.error, 1)}%. Bars: the share of right answers; the line: what it would be if confidence were right.` : "Of this system only ranks are known, not how sure it is.";
    host.replaceChildren(make("p", { className: "note", textContent: says }));
    const columns = [
      { name: "confidence (%)", value: (b) => b.low, text: (b) => `${percent(b.low, 1)} to ${percent(b.high, 1)}` },
      { name: "images", value: (b) => b.images, text: (b) => b.images, down: true },
      { name: "mean confidence (%)", value: (b) => b.confidence, text: (b) => percent(b.confidence, 1) },
      { name: "right (%)", value: (b) => b.right, text: (b) => percent(b.right, 1) },
    ];
    list(part.querySelector('[data-name="bins of confidence"]'), columns)(bins);
    if (!file) return;
    const draw = (kind, about) => {
      const one = document.createElementNS("http://www.w3.org/2000/svg", kind);
      for (const [key, value] of Object.entries(about)) one.setAttribute(key, value);
      return one;
    };
    const svg = draw("svg", { viewBox: "0 0 100 100", role: "img", "aria-label": "share of right answers in each bin of confidence" });
    for (const b of bins) svg.append(draw("rect", { x: 100 * b.low, width: 100 * (b.high - b.low) - 0.5, y: 100 - 100 * b.right, height: 100 * b.right }));
    svg.append(draw("path", { d: "M0 100L100 0" }), draw("path", { d: "M0 0V100H100" }));
    host.append(svg);
  }

  let filter = () => {}, turn = 0;
  async function show() {
    const mine = ++turn, status = part.querySelector("[role=status]");
    try {
      const [first, second] = [await read(shown.first), shown.second === null ? null : await read(shown.second)];
      if (mine !== turn) return; // another number was picked meanwhile
      const { system } = first, quantity = system.quantity === "localisation" ? "top-1" : system.quantity;
      const nets = index.nets.map((net) => ({ name: net.name, wrong: outcome(net.outcomes[quantity]) }));
      const seed = index.seed === null ? "" : ` Seed ${index.seed}; the table has the mean over all seeds.`;
      status.textContent = `${title(system)}: ${system.wrong.toLocaleString("en")} of ${many(system.images, "image")} are wrong (${percent(system.wrong, system.images)}%).`;
      if (second) {
        const pairs = first.wrong.map((w, i) => [w, second.wrong[i]]), count = (a, b) => pairs.filter(([x, y]) => x === a && y === b).length;
        status.textContent += ` ${title(second.system)}: ${percent(second.system.wrong, second.system.images)}%. ${count(1, 0)} wrong, then right; ${count(0, 1)} right, then wrong; ${count(1, 1)} wrong under both.`;
      }
      status.textContent += seed;
      const all = by("class");
      if (all.options.length === 1) all.append(...data.images.classes.map((text, c) => make("option", { value: c, textContent: text })));
      filter = images(first, second, nets);
      filter();
      classes(first, second);
      confusion(first);
      reliability(first);
    } catch (error) {
      status.textContent = error.message;
    }
  }

  // the same images: both whole, or both without those that are left out
  function offer() {
    const { images } = systems[shown.first], other = by("second");
    for (const option of other.options) option.hidden = option.disabled = option.value !== "" && systems[option.value].images !== images;
  }

  function choose(first, second) {
    shown = { first, second };
    by("first").value = first;
    by("second").value = second ?? "";
    offer();
    show();
  }

  const place = (first, second) => `#evidence/${systems[first].cells[0]}${second === null ? "" : `/${systems[second].cells[0]}`}`;
  function follow() {
    const [start, first, second] = location.hash.slice(1).split("/");
    if (start !== "evidence" || !of.has(first)) return;
    choose(of.get(first), of.has(second) ? of.get(second) : null);
    part.scrollIntoView();
  }

  function options() {
    const tables = Map.groupBy ? Map.groupBy(systems.keys(), (k) => systems[k].table) : [...systems.keys()].reduce((all, k) => all.set(systems[k].table, [...(all.get(systems[k].table) || []), k]), new Map());
    return [...tables].map(([table, members]) => make("optgroup", { label: table }, ...members.map((k) =>
      make("option", { value: k, textContent: title(systems[k]) }))));
  }

  by("first").append(...options());
  by("second").append(...options());
  for (const select of [by("first"), by("second")]) {
    select.onchange = () => {
      choose(Number(by("first").value), by("second").value === "" ? null : Number(by("second").value));
      history.replaceState(null, "", place(shown.first, shown.second));
    };
  }
  for (const which of ["show", "class", "nets"]) by(which).onchange = () => filter();
  // from a cell to its images, from a claim to its flips
  for (const [cell, k] of of) {
    const here = document.querySelector(`#${CSS.escape(cell)} .here`);
    if (here) here.append(make("small", { className: "images" }, make("a", { href: `#evidence/${cell}`, textContent: "images", ariaLabel: `images of ${title(systems[k])}` })));
  }
  for (const one of document.querySelectorAll("[data-flips]")) {
    const pair = one.dataset.flips.split(" ");
    if (pair.every((cell) => of.has(cell)) && systems[of.get(pair[0])].images === systems[of.get(pair[1])].images) {
      one.append(" ", make("a", { href: `#evidence/${pair[1]}/${pair[0]}`, textContent: "flips" }));
    }
  }
  part.querySelector(".app").hidden = false;
  part.querySelector(".missing").classList.add("printed");
  addEventListener("hashchange", follow);
  // the first number is read when the part comes into sight, so that opening the page reads nothing
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    if (!turn) choose(0, null);
  }).observe(part);
  follow();
})();
