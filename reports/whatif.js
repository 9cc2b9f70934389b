// What if other evaluations were fused? Computes in the browser from what vggrepro/report/whatif.py packed: errors as
// Contest.wrong does, weights as averaged_system does, intervals as statistics.one_seed_interval does. Tests compare each pair.
"use strict";
(() => {
  const part = document.getElementById("whatif");
  if (!part) return;
  const packed = JSON.parse(document.getElementById("whatif-packed").textContent);
  const chips = [...part.querySelectorAll("input[type=checkbox]")];
  const open = bytes(packed.open);
  let margins; // up to 27 MB, decoded when a fusion that is no row of the paper is picked: the page opens without them
  const decoded = packed.bits === 8 ? (code) => code * Math.abs(code) : (margin) => margin;

  function bytes(text) {
    const raw = atob(text);
    const array = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) array[i] = raw.charCodeAt(i);
    return array;
  }

  // weights: a whole number per evaluation; returns how many images are wrong, top-1 and top-5
  function wrong(weights) {
    const pairs = packed.pairs;
    if (!margins) {
      const coded = bytes(document.getElementById("whatif-margins").textContent);
      margins = packed.bits === 8 ? new Int8Array(coded.buffer) : new Float32Array(coded.buffer);
    }
    const sums = new Float64Array(pairs); // of codes: whole numbers below 2^53, so that sums are exact
    weights.forEach((weight, evaluation) => {
      if (!weight) return;
      for (let pair = 0, at = evaluation * pairs; pair < pairs; pair++, at++) sums[pair] += weight * decoded(margins[at]);
    });
    let [top1, top5] = packed.settled;
    for (let image = 0, pair = 0; image < open.length; image += 3) {
      let rank = open[image];
      for (const end = pair + open[image + 1]; pair < end; pair++) if (sums[pair] >= 0) rank++;
      for (const end = pair + open[image + 2]; pair < end; pair++) if (sums[pair] > 0) rank++;
      if (rank >= 1) top1++;
      if (rank >= 5) top5++;
    }
    return [top1, top5];
  }

  function gcd(a, b) {
    return b ? gcd(b, a % b) : a;
  }

  // as in the paper: the mean over scales, then over protocols, then over nets; else every evaluation alike
  function weighted(chosen, paper) {
    const weights = new Array(packed.evaluations.length).fill(0);
    const nets = new Map(); // run -> protocol -> evaluations
    for (const evaluation of chosen) {
      const { run, protocol } = packed.evaluations[evaluation];
      if (!nets.has(run)) nets.set(run, new Map());
      if (!nets.get(run).has(protocol)) nets.get(run).set(protocol, []);
      nets.get(run).get(protocol).push(evaluation);
    }
    const groups = [...nets.values()].flatMap((protocols) =>
      [...protocols.values()].map((members) => ({ members, parts: paper ? protocols.size * members.length : 1 })));
    const common = groups.reduce((multiple, { parts }) => (multiple / gcd(multiple, parts)) * parts, 1);
    for (const { members, parts } of groups) for (const evaluation of members) weights[evaluation] = common / parts;
    return weights;
  }

  // how many times the variance of one training a fusion has: the squares of its nets' shares
  function differing(weights) {
    const total = weights.reduce((sum, weight) => sum + weight);
    const shares = new Map();
    weights.forEach((weight, i) => {
      const { run } = packed.evaluations[i];
      shares.set(run, (shares.get(run) || 0) + weight / total);
    });
    return [...shares.values()].reduce((sum, share) => sum + share ** 2, 0);
  }

  // Wilson's interval, widened by what trainings are assumed to differ by
  function bounds(errors, n, training) {
    const p = errors / n, [low, high] = wilson(errors, n);
    return [Math.max(0, p - Math.hypot(p - low, training)), Math.min(1, p + Math.hypot(high - p, training))];
  }

  // Wilson's 95% interval of a proportion
  function wilson(errors, n) {
    const p = errors / n, z = packed.z;
    const middle = p + z ** 2 / (2 * n);
    const half = z * Math.sqrt((p * (1 - p)) / n + z ** 2 / (4 * n ** 2));
    return [Math.max(0, (middle - half) / (1 + z ** 2 / n)), Math.min(1, (middle + half) / (1 + z ** 2 / n))];
  }

  // the rows of the paper that differ in the fewest evaluations, and in how many
  function nearest(weights) {
    const total = weights.reduce((sum, weight) => sum + weight);
    const distances = packed.rows.map((row) => {
      const sum = row.weights.reduce((all, weight) => all + weight);
      const other = row.weights.filter((weight, i) => !weight !== !weights[i]).length;
      const same = row.weights.every((weight, i) => weight * total === weights[i] * sum);
      return same ? 0 : Math.max(other, 0.5); // the same evaluations, weighted otherwise: near, not equal
    });
    const distance = Math.min(...distances);
    return { distance, rows: packed.rows.filter((_, i) => distances[i] === distance) };
  }

  function nearestRow({ distance, rows }) {
    const names = rows.map((row) => `Table ${row.table}, ${row.name}`);
    if (distance === 0) return `Exactly ${names.join("; and ")}.`;
    const how = distance < 1 ? "the same evaluations, weighted otherwise"
      : `${distance} ${distance > 1 ? "evaluations differ" : "evaluation differs"}`;
    return `No row of the paper. Nearest: ${names[0]} (${how}).`;
  }

  const percent = (share) => (100 * share).toFixed(2);

  function cell(text, value) {
    const cell = document.createElement("td");
    const data = document.createElement("data");
    data.value = value;
    data.textContent = text;
    cell.append(data);
    return cell;
  }

  // which buttons stand for what is picked: a row of the paper, or all (or some) of a group
  function press(weights) {
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (const button of part.querySelectorAll("button[aria-pressed]")) {
      if (button.dataset.row) {
        const row = packed.rows[button.dataset.row].weights, sum = row.reduce((all, weight) => all + weight);
        button.ariaPressed = String(total > 0 && row.every((weight, i) => weight * total === weights[i] * sum));
      } else {
        const picked = button.dataset.pick.split(" ").map((number) => weights[number] > 0);
        button.ariaPressed = picked.every(Boolean) ? "true" : picked.some(Boolean) ? "mixed" : "false";
      }
    }
  }

  function show() {
    const chosen = chips.filter((chip) => chip.checked).map((chip) => Number(chip.value));
    const line = part.querySelector(".result p"), body = part.querySelector(".result tbody");
    const weights = chosen.length ? weighted(chosen, part.querySelector("input[value=paper]").checked) : packed.evaluations.map(() => 0);
    press(weights);
    if (!chosen.length) {
      line.textContent = "Nothing is picked: pick an evaluation.";
      body.replaceChildren();
      return;
    }
    const near = packed.rows.length ? nearest(weights) : null;
    const nets = new Set(chosen.map((evaluation) => packed.evaluations[evaluation].run)).size;
    const count = (n, name) => `${n} ${name}${n > 1 ? "s" : ""}`;
    line.textContent = `${count(chosen.length, "evaluation")} of ${count(nets, "net")}. ${near ? nearestRow(near) : ""}`;
    const counts = near && near.distance === 0 ? near.rows[0].wrong : wrong(weights); // a row's own counts are exact
    body.replaceChildren(...counts.map((errors, i) => {
      const training = packed.trainings[i] * Math.sqrt(differing(weights));
      const share = errors / packed.images, [low, high] = bounds(errors, packed.images, training);
      const line = document.createElement("tr"), name = document.createElement("th");
      name.scope = "row";
      name.textContent = ["top-1", "top-5"][i];
      const interval = cell(`${percent(low)} to ${percent(high)}`, `${low} ${high}`);
      line.append(name, cell(percent(share), errors), interval);
      const published = near ? near.rows[0].published[i] : null;
      if (published === null) line.append(cell("-", ""), cell("-", ""));
      else {
        const delta = 100 * share - published;
        const sign = delta < 0 ? "\u2212" : "+";
        line.append(cell(published.toFixed(1), published), cell(sign + Math.abs(delta).toFixed(2), delta));
      }
      return line;
    }));
  }

  function pick(button) {
    if ("clear" in button.dataset) {
      for (const chip of chips) chip.checked = false;
    } else if (button.dataset.row) {
      const { weights } = packed.rows[button.dataset.row];
      for (const chip of chips) chip.checked = weights[chip.value] > 0;
      part.querySelector("input[value=paper]").checked = true;
    } else {
      const wanted = new Set(button.dataset.pick.split(" "));
      const group = chips.filter((chip) => wanted.has(chip.value));
      const on = !group.every((chip) => chip.checked);
      for (const chip of group) chip.checked = on;
    }
    show();
  }

  part.addEventListener("change", show);
  part.addEventListener("click", ({ target }) => target.tagName === "BUTTON" && pick(target));
  part.querySelector(".app").hidden = false;
  part.querySelector(".missing").classList.add("printed");
  const first = part.querySelector("details:last-of-type button"); // the paper's best system, the first row of Table 7
  if (first) pick(first);
  else show();
})();
