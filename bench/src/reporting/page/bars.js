// Bars: one card for each shape. Bars are boxes of HTML, so that names wrap and zoom as text does.

const SORTS = [
  ["given", "as measured"],
  ["ahead", "trine furthest ahead"],
  ["behind", "trine furthest behind"],
  ["bound", "share of the bound"],
];

function shapesSection(place) {
  const ops = OPS.filter((op) => listedRows().some((row) => row.op === op.key));
  if (!ops.length) return false;
  const chosen = new Set([ops[0].key]);
  let order = "given";
  const grid = make("div", { class: "grid" });
  const redraw = () => {
    const rows = listedRows().filter((row) => chosen.has(row.op));
    const best = (row) => Math.min(...row.timings.slice(1).map((of) => of.engine_times_as_fast), Infinity);
    const by = { given: () => 0, ahead: (row) => -best(row), behind: best, bound: (row) => -(row.bound?.share ?? 0) }[order];
    grid.replaceChildren(...[...rows].sort((a, b) => by(a) - by(b)).map(shapeCard));
  };
  place.append(
    make("div", { class: "controls" }, chips("Operation", ops, chosen, false, redraw),
      choice("Order", SORTS, order, (key) => {
        order = key;
        redraw();
      })),
    grid);
  redraw();
  return true;
}

/** The parts of one contender's line. Its bars are parts of `scale`, in percent. */
function line(name, segments, scale, value, ratio, extras, classes) {
  const bars = segments.map((size, i) => make("div", {
    class: ["bar", classes, segments.length > 1 && i === 0 ? "first" : "", i > 0 ? "soft" : ""].join(" "),
    style: `width:${(100 * size) / scale}%`,
  }));
  return [
    make("span", { class: `who ${name === "trine" ? "own" : ""}`, title: name }, name),
    make("div", { class: "track" }, bars, extras),
    make("span", { class: "value" }, value, make("i", {}, ratio)),
  ];
}

/** `own` for trine, `best` for the fastest of the others. */
function rank(name, others, speed) {
  if (name === "trine") return "own";
  const best = others.filter((of) => of.name !== "trine").reduce((a, b) => (speed(a) >= speed(b) ? a : b));
  return best.name === name ? "best" : "";
}

function shapeCard(row) {
  const fastest = Math.max(...row.timings.map((of) => (of.interval?.[0] ? row.flops / of.interval[0] / 1e9 : of.gflops)));
  // A bound far above all bars would make them slivers.
  const scale = row.bound && row.bound.gflops < 1.6 * fastest ? Math.max(fastest, row.bound.gflops) : fastest;
  const rate = (seconds) => (100 * row.flops) / seconds / 1e9 / scale;
  const lines = row.timings.flatMap((of) => {
    const extras = [];
    if (of.interval?.[0]) {
      const [slow, fast] = [rate(of.interval[1]), Math.min(100, rate(of.interval[0]))];
      extras.push(make("div", { class: "span", style: `left:${slow}%;width:${fast - slow}%` }));
    }
    if (row.bound && row.bound.gflops <= scale) {
      extras.push(make("div", { class: "tick", style: `left:calc(${(100 * row.bound.gflops) / scale}% - 1px)` }));
    }
    const marked = noise(of) > settings.noise_limit ? " ±" : "";
    const ratio = of.name === "trine" ? "" : times(of.engine_times_as_fast);
    return line(of.name, [of.gflops], scale, `${digits(of.gflops)}${marked}`, ratio, extras,
      rank(of.name, row.timings, (other) => other.gflops));
  });
  const card = make("article", { class: "card shape-card" },
    make("div", { class: "head" }, make("h3", {}, shapeName(row)),
      make("span", {}, row.bound ? `${percent(row.bound.share)} of ${digits(row.bound.gflops)}, ${setBy(row.bound)}` : "")),
    make("div", { class: "bars" }, lines));
  const absent = row.absent.map((of) => (of.wrong ? `${of.name} is wrong: ${of.why}` : `${of.name}: ${of.why}`));
  if (row.timings.some((of) => noise(of) > settings.noise_limit)) absent.unshift(`±: known no better than to ${noiseLimit}`);
  if (absent.length) card.append(make("p", { class: "caption" }, absent.join("; ")));
  return card;
}

/** Forward and the step with the update, for each shape where both were measured. */
function stepSection(place) {
  const rows = listedRows();
  const steps = rows.filter((row) => row.op === "step");
  const cards = steps.map((step) => {
    const forward = rows.find((row) => row.op === "fwd" && shapeName(row) === shapeName(step));
    return forward && stepCard(forward, step);
  }).filter(Boolean);
  if (!cards.length) return false;
  place.append(make("div", { class: "grid" }, cards),
    make("p", { class: "note" }, "The darker part of a bar is the forward pass, the lighter one backward with the update; "
      + "medians of the two, added. Where trine is ahead, a bar is longer than trine's. "
      + `±: one of the two is known no better than to ${noiseLimit}.`));
  return true;
}

function stepCard(forward, step) {
  const parts = step.timings.map((of) => ({ name: of.name, times: [timing(forward, of.name)?.seconds.median, of.seconds.median],
    noisy: [of, timing(forward, of.name)].some((one) => one && noise(one) > settings.noise_limit) }))
    .filter((of) => of.times[0]);
  const total = (of) => of.times[0] + of.times[1];
  const own = parts.find((of) => of.name === "trine");
  if (!own) return undefined;
  // Loops of no library may take a hundred times as long: their bars are cut, their figures are not.
  const others = parts.map(total).sort((a, b) => a - b);
  const scale = Math.min(others[others.length - 1], 3 * others[others.length >> 1]);
  const lines = parts.flatMap((of) => {
    const cut = Math.min(1, scale / total(of));
    const ratio = of.name === "trine" ? "" : times(total(of) / total(own));
    return line(of.name, of.times.map((time) => time * cut), scale, duration(total(of)) + (cut < 1 ? " ›" : "") + (of.noisy ? "\u00a0±" : ""), ratio, [],
      rank(of.name, parts, (other) => -total(other)));
  });
  return make("article", { class: "card step-card" },
    make("div", { class: "head" }, make("h3", {}, shapeName(step)),
      make("span", {}, `forward ${percent(own.times[0] / total(own))} of the step`)),
    make("div", { class: "bars" }, lines));
}
