// The roofline: intensity across, speed upwards, both by doubling.

function rooflineSection(place) {
  const rows = usualRows().filter((row) => row.bound);
  if (!rows.length) return false;
  const ops = OPS.filter((op) => rows.some((row) => row.op === op.key));
  const chosen = new Set(ops.map((op) => op.key));
  let who = "trine";
  const plot = make("div", { class: "card plot" });
  const redraw = responsive(plot, (width) => drawRoofline(width, rows.filter((row) => chosen.has(row.op)), rows, who));
  const options = ops.map((op) => ({ ...op, mark: opMark(op.key) }));
  const names = ["trine", ...peers].map((name) => [name, name]);
  place.append(
    make("div", { class: "controls" }, chips("Operations", options, chosen, true, redraw),
      choice("Speed of", names, who, (name) => {
        who = name;
        redraw();
      })),
    plot,
    make("p", { class: "note" }, settings.cold
      ? "Operands were taken out of the caches before each call: all of them come from memory."
      : "Operands are warm: what a level of the caches is too small for comes from the next. The bound of a point "
        + "takes each part at the speed of its own level, so it may lie between two slopes."));
  redraw();
  return true;
}

const opColour = (key) => ["var(--trine)", "var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)"][opIndex(key)] ?? "var(--c7)";

function opMark(key) {
  const mark = make("svg:svg", { width: 12, height: 12, class: "mark", style: "width:12px;display:inline-block", "aria-hidden": "true" });
  mark.append(symbol(opIndex(key), 6, 6, 4.5, { fill: opColour(key) }));
  return mark;
}

/** Slopes: the levels of the memory, as the usual threads read them. */
function levels() {
  const read = (limits?.bandwidths ?? []).filter((of) => of.isa === shown.isa && of.threads === usualThreads);
  return read.map((of) => ({ name: of.level, gbytes: of.gbytes }));
}

function drawRoofline(width, rows, all, who) {
  const narrow = width < 560;
  const height = narrow ? 380 : 480;
  const box = { left: narrow ? 40 : 52, right: 14, top: 20, bottom: 42 };
  const speeds = all.map((row) => timing(row, who)?.gflops).filter(Boolean);
  const peak = all.map((row) => row.peak_gflops).sort((a, b) => a - b)[all.length >> 1];
  const intensities = all.map((row) => row.bound.intensity);
  const domainX = [Math.min(...intensities) / (narrow ? 6 : 4), Math.max(...intensities) * 1.6];
  const domainY = [Math.min(...speeds) / 1.6, peak * 1.7];
  const x = doubling(domainX, [box.left, width - box.right], narrow ? 44 : 60);
  const y = doubling(domainY, [height - box.bottom, box.top], 34);
  const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img", class: "roofline-plot",
    "aria-label": `Roofline: speed of ${who} over intensity, ${rows.length} rows` });
  axes(svg, { x, y, width, height, box, across: "FLOP for each byte of the operands", up: "GFLOP/s" });
  roofs(svg, { x, y, width, height, box, peak, domainX, domainY });
  const points = [];
  for (const row of rows) {
    const of = timing(row, who);
    if (!of) continue;
    const place = { x: x.place(row.bound.intensity), y: y.place(of.gflops) };
    svg.append(symbol(opIndex(row.op), place.x, place.y, narrow ? 4 : 5, { class: "point", fill: opColour(row.op) }));
    points.push({ ...place, row, title: `${shapeName(row)} ${opName(row.op)}, ${who}`, lines: facts(row, of),
      bound: y.place(row.bound.gflops) });
  }
  nearest(svg, points, 30, (point) => [
    make("svg:line", { class: "drop", x1: point.x, x2: point.x, y1: point.y, y2: point.bound }),
    make("svg:line", { class: "focus", x1: point.x - 7, x2: point.x + 7, y1: point.bound, y2: point.bound }),
    make("svg:circle", { class: "focus", cx: point.x, cy: point.y, r: 8 }),
  ]);
  return svg;
}

/** Ticks and lines of both directions, with their names. */
function axes(svg, { x, y, width, height, box, across, up, nameX = short, nameY = short }) {
  const base = height - box.bottom;
  for (const tick of y.ticks) {
    const at = y.place(tick);
    svg.append(make("svg:line", { class: "gridline", x1: box.left, x2: width - box.right, y1: at, y2: at }),
      make("svg:text", { x: box.left - 7, y: at + 4, "text-anchor": "end" }, nameY(tick)));
  }
  for (const tick of x.ticks) {
    const at = x.place(tick);
    svg.append(make("svg:line", { class: "gridline", x1: at, x2: at, y1: box.top, y2: base }),
      make("svg:text", { x: at, y: base + 17, "text-anchor": "middle" }, nameX(tick)));
  }
  svg.append(make("svg:line", { class: "axis", x1: box.left, x2: width - box.right, y1: base, y2: base }),
    make("svg:text", { x: (box.left + width - box.right) / 2, y: height - 6, "text-anchor": "middle" }, across),
    make("svg:text", { x: box.left, y: 12, "text-anchor": "start" }, up));
}

/** The peak, and a slope for each level, named along it. */
function roofs(svg, { x, y, width, height, box, peak, domainX, domainY }) {
  const from = domainX[0];
  const slopes = levels().map((level) => {
    const start = Math.max(from, domainY[0] / level.gbytes);
    const ridge = Math.max(start, Math.min(peak / level.gbytes, domainX[1]));
    return { level, x1: x.place(start), y1: y.place(start * level.gbytes), x2: x.place(ridge), y2: y.place(ridge * level.gbytes), ridge };
  });
  for (const [i, slope] of slopes.entries()) {
    const { level, x1, y1, x2, y2 } = slope;
    svg.append(make("svg:line", { class: "roof", x1, y1, x2, y2 }));
    const angle = (Math.atan2(y2 - y1, x2 - x1) * 180) / Math.PI;
    // Where the slope above is near, the name goes below.
    const near = i > 0 && y1 - slopes[i - 1].y1 < 24;
    const name = width < 560 ? level.name : `${level.name} ${digits(level.gbytes)} GB/s`;
    svg.append(make("svg:text", { class: "halo", transform: `translate(${x1} ${y1}) rotate(${angle})`, x: 10, y: near ? 15 : -6 }, name));
  }
  const ridge = Math.min(...slopes.map((slope) => slope.ridge), domainX[1]);
  svg.append(make("svg:line", { class: "roof", x1: x.place(slopes.length ? ridge : from), x2: width - box.right, y1: y.place(peak), y2: y.place(peak) }),
    make("svg:text", { class: "strong halo", x: width - box.right, y: y.place(peak) - 8, "text-anchor": "end" },
      `peak ${digits(peak)} GFLOP/s, ${shown.isa} ${shown.dtype}`));
}
