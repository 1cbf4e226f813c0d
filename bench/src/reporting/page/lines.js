// Lines: speed over size, over threads, and the peak over the time of the run.

/** Series {name, colour, kind, dash, points: [{x, y, title, lines}]} as lines with their names at the end. */
function drawLines(width, { series, x, top, height, across, up, label, names, nameX, ideal, bottom = 0 }) {
  const named = names && width >= 620;
  const box = { left: 42, right: named ? 150 : 16, top: 22, bottom: 42 };
  const scaleX = x([box.left, width - box.right]);
  const y = even([bottom, top], [height - box.bottom, box.top], 36);
  const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", class: "line-plot", "aria-label": label });
  axes(svg, { x: scaleX, y, width, height, box, across, up, nameX, nameY: (tick) => `${+tick.toPrecision(4)}` });
  if (ideal) {
    svg.append(make("svg:polyline", { class: "roof", "stroke-dasharray": "4 4",
      points: ideal.map((point) => `${scaleX.place(point.x)},${y.place(point.y)}`).join(" ") }));
  }
  const [points, ends] = [[], []];
  // The engine last, so that it lies on top.
  for (const of of [...series].reverse()) {
    const at = of.points.map((point) => ({ ...point, x: scaleX.place(point.x), y: y.place(point.y), colour: of.colour }));
    svg.append(make("svg:polyline", { class: "series", stroke: of.colour, "stroke-dasharray": of.dash || undefined,
      points: at.map((point) => `${point.x},${point.y}`).join(" ") }));
    at.forEach((point) => svg.append(symbol(of.kind, point.x, point.y, 3.5, { class: "point", fill: of.colour })));
    points.push(...at);
    const last = at[at.length - 1];
    if (last) ends.push({ name: of.name, colour: of.colour, x: last.x, from: last.y, y: last.y });
  }
  if (named) {
    const edge = width - box.right;
    for (const end of apart(ends, 15, box.top, height - box.bottom)) {
      svg.append(
        make("svg:polyline", { fill: "none", stroke: end.colour, "stroke-opacity": .6, points: `${end.x + 6},${end.from} ${edge + 34},${end.y}` }),
        make("svg:text", { x: edge + 39, y: end.y + 4, class: end.name === "trine" ? "strong" : "" }, end.name));
    }
  }
  nearest(svg, points, 40, (point) => [make("svg:circle", { class: "focus", cx: point.x, cy: point.y, r: 7 })]);
  return named || !names ? svg : make("div", {}, legend(series), svg);
}

function legend(series) {
  const items = series.map((of) => {
    const sample = make("svg:svg", { viewBox: "0 0 26 12", "aria-hidden": "true" });
    sample.append(make("svg:line", { x1: 0, x2: 26, y1: 6, y2: 6, class: "series", stroke: of.colour, "stroke-dasharray": of.dash || undefined }),
      symbol(of.kind, 13, 6, 3.5, { fill: of.colour }));
    return make("li", {}, sample, of.name);
  });
  return make("ul", { class: "legend" }, items);
}

/** One series for each contender, from rows in order. */
function contenders(rows, across, value) {
  return ["trine", ...peers].map((name) => ({
    name, colour: colour(name), kind: kind(name), dash: dash(name),
    points: rows.flatMap((row) => {
      const of = timing(row, name);
      return of ? [{ x: across(row), y: value(row, of), title: `${shapeName(row)} ${opName(row.op)}, ${name}`, lines: facts(row, of) }] : [];
    }),
  })).filter((of) => of.points.length);
}

function sizeSection(place) {
  const rows = usualRows().filter((row) => row.op === "fwd" && isCube(row)).sort((a, b) => a.n - b.n);
  if (rows.length < 2) return false;
  const series = contenders(rows, (row) => row.n, (row, of) => of.gflops);
  const peaks = rows.map((row) => row.peak_gflops);
  const top = 1.04 * Math.max(...peaks, ...series.flatMap((of) => of.points.map((point) => point.y)));
  const domain = [rows[0].n, rows[rows.length - 1].n];
  const plot = make("div", { class: "card plot" });
  place.append(plot, make("p", { class: "note" }, "The dashed line is the peak of multiply-adds, measured again with each row."));
  responsive(plot, (width) => drawLines(width, {
    series, top, height: width < 560 ? 340 : 420, across: "n = d = m", up: "GFLOP/s", names: true,
    x: (range) => doubling(domain, range, 40), label: "Forward: speed over size",
    ideal: rows.map((row) => ({ x: row.n, y: row.peak_gflops })),
  }));
  return true;
}

function threadsSection(place) {
  const scaled = (settings.scaling ?? []).map((sides) => sides.join("×"));
  const rows = chosenRows().filter((row) => scaled.includes(shapeName(row)));
  const cards = [];
  for (const op of OPS) {
    for (const shape of scaled) {
      const of = rows.filter((row) => row.op === op.key && shapeName(row) === shape).sort((a, b) => a.threads - b.threads);
      if (of.length > 1) cards.push(threadsCard(op, shape, of));
    }
  }
  if (!cards.length) return false;
  const all = ["trine", ...peers].filter((name) => rows.some((row) => row.threads > 1 && timing(row, name)));
  place.append(legend(all.map((name) => ({ name, colour: colour(name), kind: kind(name), dash: dash(name) }))),
    make("div", { class: "grid" }, cards),
    make("p", { class: "note" }, "Beside a title: how many times as fast trine is on all threads as on one; ± where one of the two "
      + `was disturbed: known no better than to ${noiseLimit}, or measured while the cores had less than 90 % of their peak. The naive `
      + "loops have one thread, and matrixmultiply at most four."));
  return true;
}

function threadsCard(op, shape, rows) {
  const series = contenders(rows, (row) => row.threads, (row, of) => of.gflops);
  const last = rows[rows.length - 1];
  const own = timing(last, "trine");
  // Against the fewest threads, mostly one.
  const gain = timing(rows[0], "trine").seconds.median / own.seconds.median;
  const plot = make("div", {});
  const counts = rows.map((row) => row.threads);
  const top = 1.04 * Math.max(...rows.map((row) => row.peak_gflops), ...series.flatMap((of) => of.points.map((point) => point.y)));
  const counted = (range) => ({ ...even([counts[0], counts[counts.length - 1]], range, 30), ticks: counts });
  responsive(plot, (width) => drawLines(width, {
    // The names of the series stand above all cards.
    series, top, height: 210, across: "threads", up: "GFLOP/s", x: counted, nameX: String,
    label: `${shape} ${op.name}: speed over threads`,
    ideal: rows.map((row) => ({ x: row.threads, y: row.peak_gflops })),
  }));
  return make("article", { class: "card threads-card" },
    make("div", { class: "head" }, make("h3", {}, `${shape} ${op.name}`),
      make("span", {}, `trine ${times(gain)}${rows.some(disturbed) ? "\u00a0±" : ""}`)), plot);
}

/** The peak as it was measured again with each row. */
function clock() {
  const rows = usualRows().filter((row) => row.at > 0).sort((a, b) => a.at - b.at);
  if (rows.length < 3) return undefined;
  const peaks = rows.map((row) => row.peak_gflops);
  const median = [...peaks].sort((a, b) => a - b)[peaks.length >> 1];
  const part = (row) => row.peak_gflops / median;
  const [low, high] = [Math.min(...rows.map(part)), Math.max(...rows.map(part))];
  const series = [{ name: "peak", colour: "var(--trine)", kind: 0, dash: "", points: rows.map((row) => ({
    x: row.at, y: 100 * part(row), title: `after ${digits(row.at)} s`,
    lines: [["peak", `${digits(row.peak_gflops)} GFLOP/s`], ["during", `${shapeName(row)} ${opName(row.op)}`]],
  })) }];
  const plot = make("div", {});
  responsive(plot, (width) => drawLines(width, {
    series, top: 100 * Math.max(high, 1.02) + 1, bottom: 100 * Math.max(0, Math.min(low, 0.96) - 0.01), height: 220, across: "seconds since the run began",
    up: "% of the median peak", label: "The peak over the time of the run",
    x: (range) => even([0, rows[rows.length - 1].at], range, 60),
    nameX: String,
  }));
  return make("article", { class: "card" },
    make("div", { class: "head" }, make("h3", {}, "Clock"),
      make("span", {}, `${change(low - 1)} to ${change(high - 1)} around ${digits(median)} GFLOP/s`)), plot);
}
