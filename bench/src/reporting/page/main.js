// The page: head, sections, and what is chosen for all of them.

const started = settings.started ? new Date(1000 * settings.started) : undefined;

function head() {
  document.title = `trine report: ${machine.cpu}`;
  document.getElementById("cpu").textContent = machine.cpu;
  const caches = (machine.caches ?? []).map((of) => `${of.name} ${bytes(of.bytes)}`).join(", ");
  const threads = `${usualThreads} thread${usualThreads > 1 ? "s" : ""}`;
  const facts = [
    ["Cores", `${machine.cores}, ${machine.arch}`],
    ["Caches", caches],
    ["System", machine.os],
    ["Engine", `${unique(report.rows.map((row) => row.isa)).join(", ") || settings.isas?.join(", ")}, ${threads}`],
    ["Types", unique(report.rows.map((row) => row.dtype)).join(", ")],
    ["Data", settings.cold ? "cold caches" : "warm caches"],
    ["Each row", settings.time ? `${settings.time} s` : ""],
    ["Measured", started ? `${started.toISOString().slice(0, 16).replace("T", " ")} UTC` : ""],
    ["Took", settings.took ? `${Math.round(settings.took)} s, ${report.rows.length} rows` : `${report.rows.length} rows`],
    ["Version", `trine ${report.version}`],
  ];
  document.getElementById("facts").replaceChildren(...facts.filter(([, value]) => value)
    .map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
}

/** Geometric means over all shapes, for each operation and peer. */
function summarySection(place) {
  const rows = listedRows();
  if (!rows.length) return false;
  const bounds = rows.filter((row) => row.bound).map((row) => row.bound.share);
  const shares = rows.map((row) => timing(row, "trine")?.share_of_peak).filter(Boolean);
  const noisy = rows.filter((row) => row.noisy).length;
  const best = rows.filter((row) => row.timings.slice(1).every((of) => of.engine_times_as_fast >= 1)).length;
  const tiles = [
    [digits(rows.map((row) => row.peak_gflops).sort((a, b) => a - b)[rows.length >> 1]), "GFLOP/s at the peak"],
    bounds.length ? [percent(geometricMean(bounds)), "of the roofline bound, geometric mean"] : [percent(geometricMean(shares)), "of the peak, geometric mean"],
    [`${best} of ${rows.length}`, "rows in which nobody is faster"],
    [`${noisy}`, `rows known no better than to ${noiseLimit}`],
  ];
  place.append(make("div", { class: "tiles" }, tiles.map(([value, name]) => make("div", { class: "card tile" }, make("b", {}, value), make("span", {}, name)))));
  const ops = OPS.filter((op) => rows.some((row) => row.op === op.key));
  const ratios = (name, op) => rows.filter((row) => !op || row.op === op).map((row) => timing(row, name)?.engine_times_as_fast).filter(Boolean);
  const column = (title, op) => {
    const mean = (name) => (ratios(name, op).length ? geometricMean(ratios(name, op)) : NaN);
    return { name: title, value: mean, text: (name) => [times(mean(name)), make("small", {}, times(Math.min(...ratios(name, op))))], style: (name) => heat(mean(name)) };
  };
  if (peers.length) {
    place.append(sortable([{ name: "trine against", value: (name) => name, text: (name) => name }, column("all"), ...ops.map((op) => column(op.name, op.key))],
      peers, { label: "Against each peer" }).element,
    make("p", { class: "note" }, "How many times as fast trine is: the geometric mean over the shapes, and the lowest of them, small."));
  }
  return true;
}

function methodSection(place) {
  const name = `trine-${started?.toISOString().slice(0, 10) ?? "report"}.json`;
  const text = () => JSON.stringify(report, null, 2);
  const save = () => {
    const link = make("a", { href: URL.createObjectURL(new Blob([text()], { type: "application/json" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const raw = make("pre");
  const details = make("details", { ontoggle: () => details.open && raw.replaceChildren(text()) }, make("summary", {}, "The data, as JSON"), raw);
  const lines = [
    "All take turns, sample by sample, on the same operands (A B C A B C …); a sample repeats a call for a millisecond, after warming up.",
    "Medians, with the 95 % bootstrap interval. Ratios and shares are taken round by round, so that what slows a whole round drops out.",
    "Before it is timed, the engine's result has to be the reference's, bit for bit, and a peer's within rounding. A peer that is wrong is not timed.",
    "Bias, activation and ∇b are the same vectorised passes around every peer's product. Only products are counted: 2·n·d·m operations each.",
    "The bound is the lower one of the peak of multiply-adds (measured again in the same rounds) and of the operands' bytes at the speed at which each level of the memory is read, each byte counted once.",
  ];
  place.append(make("ul", {}, lines.map((line) => make("li", {}, line))));
  if (report.libraries.length) {
    place.append(make("h3", { style: "margin-top:14px" }, "Libraries"), make("ul", {}, report.libraries.map((of) => make("li", {}, `${of.name}: ${of.how}`))));
  }
  place.append(make("div", { class: "controls" }, make("button", { type: "button", onclick: save }, "Save the JSON")), details);
  return true;
}

const SECTIONS = [
  ["summary", "At a glance", summarySection], ["roofline", "Roofline", rooflineSection], ["shapes", "Shapes", shapesSection],
  ["size", "Size", sizeSection], ["threads", "Threads", threadsSection], ["step", "Step", stepSection],
  ["calls", "Calls", callsSection], ["limits", "Limits", limitsSection], ["rows", "All rows", rowsSection],
  ["method", "Method", methodSection],
];

function draw() {
  const links = [];
  for (const [id, name, fill] of SECTIONS) {
    const section = document.getElementById(id);
    const body = section.querySelector(".body");
    body.replaceChildren();
    section.hidden = !fill(body);
    if (!section.hidden) links.push(make("a", { href: `#${id}` }, name));
  }
  document.getElementById("nav").replaceChildren(make("div", {}, links));
  return links;
}

/** Marks the section that is read. */
function follow() {
  const sections = SECTIONS.map(([id]) => document.getElementById(id)).filter((section) => !section.hidden);
  const mark = () => {
    const here = sections.filter((section) => section.getBoundingClientRect().top < 120).pop() ?? sections[0];
    const link = document.querySelector(`#nav a[href="#${here?.id}"]`);
    if (!link || link.classList.contains("here")) return;
    document.querySelectorAll("#nav a").forEach((other) => other.classList.toggle("here", other === link));
    link.parentElement.scrollTo({ left: link.offsetLeft - 60 });
  };
  window.addEventListener("scroll", mark, { passive: true });
  mark();
}

function choices() {
  const place = document.getElementById("choice");
  for (const [key, label] of [["dtype", "Type"], ["isa", "Instruction set"]]) {
    const options = unique(report.rows.map((row) => row[key]));
    if (options.length < 2) continue;
    place.append(choice(label, options.map((option) => [option, option]), shown[key], (value) => {
      shown[key] = value;
      draw();
    }));
  }
}

head();
choices();
draw();
follow();
document.addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
