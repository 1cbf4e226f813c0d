// Tables whose columns sort.

/** Columns {name, value(row), text(row), left, cell(row)}; the first one names the row. */
function sortable(columns, rows, options = {}) {
  let [by, down] = [-1, false];
  const body = make("tbody");
  const heads = columns.map((column, i) => make("th", { scope: "col", class: column.left ? "text" : undefined, title: column.title },
    make("button", { type: "button", onclick: () => sort(i) }, column.name)));
  let filter = "";
  const fill = () => {
    const value = (row) => columns[by].value(row);
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      // What is missing comes last in both directions.
      const missing = (v) => v === undefined || v === null || Number.isNaN(v);
      if (missing(x) || missing(y)) return missing(x) - missing(y);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return down ? -order : order;
    };
    const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
    const found = rows.filter((row) => words.every((word) => (options.words?.(row) ?? "").includes(word)));
    const sorted = by < 0 ? found : [...found].sort(compare);
    body.replaceChildren(...sorted.map((row) => make("tr", {}, columns.map((column, i) => make(i ? "td" : "th",
      { class: column.left ? "text" : undefined, scope: i ? undefined : "row", style: column.style?.(row) }, column.text(row))))));
    options.counted?.(found.length);
  };
  const sort = (i) => {
    // Numbers from the largest at first, names from A.
    const first = typeof columns[i].value(rows[0] ?? {}) === "number";
    [by, down] = [i, by === i ? !down : first];
    heads.forEach((head, j) => (j === i ? head.setAttribute("aria-sort", down ? "descending" : "ascending") : head.removeAttribute("aria-sort")));
    fill();
  };
  fill();
  return {
    element: make("div", { class: `scroll ${options.tall ? "tall" : ""}`, tabindex: "0", role: "region", "aria-label": options.label },
      make("table", {}, make("thead", {}, make("tr", {}, heads)), body)),
    filter: (text) => {
      filter = text;
      fill();
    },
  };
}

/** Ground of a ratio: blue where trine is ahead, orange where it is behind, stronger the further. */
function heat(ratio) {
  if (!Number.isFinite(ratio)) return undefined;
  const strength = Math.min(0.42, Math.abs(Math.log2(ratio)) * 0.32);
  return `background-image:linear-gradient(rgba(var(${ratio >= 1 ? "--good" : "--bad"}),${strength.toFixed(3)}) 0 0)`;
}

function rowsSection(place) {
  if (!report.rows.length) return false;
  const own = (row) => timing(row, "trine") ?? row.timings[0];
  const columns = [
    { name: "n×d×m", value: (row) => row.n * row.d * row.m, text: shapeName, title: "sorted by the size of the product" },
    { name: "operation", left: true, value: (row) => opName(row.op), text: (row) => opName(row.op) },
    { name: "type", left: true, value: (row) => row.dtype, text: (row) => row.dtype },
    { name: "ISA", left: true, value: (row) => row.isa, text: (row) => row.isa },
    { name: "threads", value: (row) => row.threads, text: (row) => `${row.threads}` },
    { name: "time", value: (row) => own(row).seconds.median, text: (row) => duration(own(row).seconds.median) },
    { name: "±", value: (row) => noise(own(row)), text: (row) => [percent(noise(own(row))), row.noisy ? make("span", { class: "warn", title: `known no better than to ${noiseLimit}` }, " !") : ""],
      title: "half of the 95 % interval of the median" },
    { name: "GFLOP/s", value: (row) => own(row).gflops, text: (row) => digits(own(row).gflops) },
    { name: "of peak", value: (row) => own(row).share_of_peak, text: (row) => percent(own(row).share_of_peak) },
    { name: "FLOP/byte", value: (row) => row.bound?.intensity, text: (row) => digits(row.bound?.intensity ?? NaN) },
    { name: "bound", value: (row) => row.bound?.gflops, text: (row) => (row.bound ? [digits(row.bound.gflops), make("small", {}, row.bound.by_memory ? row.bound.level : "FMA")] : "–") },
    { name: "of bound", value: (row) => row.bound?.share, text: (row) => percent(row.bound?.share ?? NaN) },
    ...peers.map((name) => ({
      name, value: (row) => timing(row, name)?.engine_times_as_fast, title: `how many times as fast as ${name} trine is`,
      text: (row) => {
        const of = timing(row, name);
        if (!of) return row.absent.some((other) => other.name === name && other.wrong) ? "wrong" : "–";
        return [times(of.engine_times_as_fast), unsure(of) ? make("span", { class: "warn", title: `known no better than to ${noiseLimit}` }, " !") : ""];
      },
      style: (row) => heat(timing(row, name)?.engine_times_as_fast),
    })),
  ];
  const count = make("span", { class: "note", style: "margin:0" });
  // What is the same in all rows stands at the top of the page.
  const several = (column) => !["type", "ISA", "threads"].includes(column.name) || unique(report.rows.map(column.value)).length > 1;
  const table = sortable(columns.filter(several), report.rows, {
    tall: true, label: "All rows",
    words: (row) => `${shapeName(row)} ${row.n}x${row.d}x${row.m} ${row.op} ${opName(row.op)} ${row.dtype} ${row.isa} ${row.noisy ? "noisy" : ""}`.toLowerCase(),
    counted: (found) => count.replaceChildren(`${found} of ${report.rows.length} rows`),
  });
  const search = make("input", { type: "search", placeholder: "64x784 fwd …", "aria-label": "Show rows with these words",
    oninput: () => table.filter(search.value) });
  place.append(make("div", { class: "controls" }, search, count), table.element,
    make("p", { class: "note" }, "Below a peer: how many times as fast trine is, the median over the rounds. "
      + `! marks what is known no better than to ${noiseLimit}.`));
  return true;
}

function callsSection(place) {
  if (!report.overheads?.length) return false;
  const names = report.overheads[0].ways.map((way) => way.name);
  const seconds = (of, name) => of.ways.find((way) => way.name === name)?.seconds;
  const columns = [
    { name: "n×d×m", value: (of) => of.n * of.d * of.m, text: shapeName },
    { name: "at the peak", value: (of) => of.at_peak, text: (of) => duration(of.at_peak), title: "its multiply-adds at the peak" },
    ...names.map((name) => ({ name, value: (of) => seconds(of, name), text: (of) => duration(seconds(of, name)) })),
    { name: "cost of a call", value: (of) => seconds(of, names[1]) - seconds(of, names[0]),
      text: (of) => duration(Math.max(0, seconds(of, names[1]) - seconds(of, names[0]))), title: `${names[1]} less ${names[0]}` },
  ];
  place.append(sortable(columns, report.overheads, { label: "The cost of a call" }).element,
    make("p", { class: "note" }, `“${names[0]}”: checked and dispatched once, then computed again and again. “${names[1]}”: what a program `
      + "does, with views, checks and dispatch in each call; the difference is the cost of a call. Then the same with an engine put "
      + "together for each call, from a proof of the instruction set and the caller's memory; and with one that asks the processor "
      + "for its instruction sets and caches each time."));
  return true;
}

function limitsSection(place) {
  if (!limits) return false;
  const counts = unique(limits.peaks.concat(limits.bandwidths).map((of) => of.threads));
  const table = (title, unit, rows, key, name, value, extra) => {
    const firsts = rows.filter((row, i) => rows.findIndex((other) => key(other) === key(row)) === i);
    const columns = [
      { name: title, value: name, text: name },
      ...(extra ? [extra] : []),
      ...counts.map((count) => {
        const find = (row) => rows.find((other) => key(other) === key(row) && other.threads === count);
        return { name: `${count} thread${count > 1 ? "s" : ""}`, value: (row) => value(find(row) ?? {}) ?? NaN,
          text: (row) => digits(value(find(row) ?? {}) ?? NaN) };
      }),
    ];
    return make("div", {}, make("h3", { style: "margin:0 0 6px" }, unit), sortable(columns, firsts, { label: unit }).element);
  };
  const drift = clock();
  place.append(make("div", { class: "grid", style: "grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr))" },
    table("unit", "Multiply-adds in registers, GFLOP/s", limits.peaks, (of) => of.isa + of.dtype, (of) => `${of.isa} ${of.dtype}`, (of) => of.gflops),
    table("level", "Reading, GB/s", limits.bandwidths, (of) => of.level + of.isa, (of) => `${of.level}, ${of.isa}`, (of) => of.gbytes,
      { name: "each reads", value: (of) => of.bytes_each, text: (of) => bytes(of.bytes_each) })));
  if (drift) place.append(make("div", { style: "margin-top:12px" }, drift));
  return true;
}
