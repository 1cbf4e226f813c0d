// The data, and what all sections know of it.

const report = JSON.parse(document.getElementById("data").textContent);
const { machine, settings, limits } = report;

const OPS = [
  { key: "fwd", name: "forward" },
  { key: "dx", name: "∇X" },
  { key: "dw", name: "∇W, ∇b" },
  { key: "backward", name: "backward" },
  { key: "step", name: "backward + update" },
];
const opName = (key) => OPS.find((op) => op.key === key)?.name ?? key;
const opIndex = (key) => OPS.findIndex((op) => op.key === key);

const shapeName = (row) => `${row.n}×${row.d}×${row.m}`;
const unique = (values) => [...new Set(values)];

/** Peers in the order in which they were asked for, those of earlier formats as they appear. */
const peers = unique([...(settings.peers ?? []), ...report.rows.flatMap((row) => row.timings.map((of) => of.name))])
  .filter((name) => name !== "trine");

/** The usual number of threads: of the settings, or of the first row. */
const usualThreads = settings.threads || report.rows[0]?.threads || 1;

/** What is shown where rows of several types or instruction sets were measured. */
const shown = {
  dtype: report.rows[0]?.dtype ?? limits?.peaks[0]?.dtype ?? "f32",
  isa: report.rows[0]?.isa ?? settings.isas?.[0] ?? "",
};

const timing = (row, name) => row?.timings.find((of) => of.name === name);
const chosenRows = () => report.rows.filter((row) => row.dtype === shown.dtype && row.isa === shown.isa);
const usualRows = () => chosenRows().filter((row) => row.threads === usualThreads);
const isCube = (row) => row.n === row.d && row.d === row.m;

/** Rows at shapes at which every operation was measured, or all where that is not known. */
function listedRows() {
  const listed = new Set((settings.shapes ?? []).map((sides) => sides.join("×")));
  return usualRows().filter((row) => listed.size === 0 || listed.has(shapeName(row)));
}

/** Half of the interval of the median, as a part of it. */
const noise = (of) => (of.interval?.[1] ? (of.interval[1] - of.interval[0]) / 2 / of.seconds.median : NaN);

/** The share of the bound that somebody reached. */
const shareOfBound = (row, of) => (row.bound ? (of.share_of_peak * row.peak_gflops) / row.bound.gflops : NaN);

/** What a median that is marked is known no better than. */
const noiseLimit = `${+(100 * (settings.noise_limit ?? 0)).toPrecision(3)} %`;

/** Whether a row was disturbed: its median is not well known, or its cores had less than 90 % of their peak meanwhile. */
function disturbed(row) {
  const of = limits?.peaks.find((peak) => peak.isa === row.isa && peak.dtype === row.dtype && peak.threads === row.threads);
  return row.noisy || row.peak_gflops < 0.9 * (of?.gflops ?? 0);
}

/** Whether a ratio is known no better than that. */
const unsure = (of) => of.ratio_interval?.[1] && (of.ratio_interval[1] - of.ratio_interval[0]) / 2 / of.engine_times_as_fast > settings.noise_limit;

/** What sets the bound, in words. */
const setBy = (bound) => (bound.by_memory ? `reading ${bound.level}` : "multiply-adds");

const COLOURS = ["var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)", "var(--c7)"];
const colour = (name) => (name === "trine" ? "var(--trine)" : COLOURS[peers.indexOf(name) % COLOURS.length]);
const kind = (name) => (name === "trine" ? 0 : 1 + peers.indexOf(name));
const DASHES = ["", "7 3", "2 3", "9 3 2 3", "", "5 2", "3 2"];
const dash = (name) => (name === "trine" ? "" : DASHES[(1 + peers.indexOf(name)) % DASHES.length]);

/** What there is to say of one row and one of its contenders. */
function facts(row, of) {
  const lines = [
    ["speed", `${digits(of.gflops)} GFLOP/s`],
    ["time", `${duration(of.seconds.median)} ± ${percent(noise(of))}`],
    ["of the peak", percent(of.share_of_peak)],
  ];
  if (row.bound) {
    lines.push(["of the bound", `${percent(shareOfBound(row, of))} of ${digits(row.bound.gflops)}`]);
    lines.push(["bound by", setBy(row.bound)]);
    lines.push(["intensity", `${digits(row.bound.intensity)} FLOP/byte`]);
  }
  if (of.name !== "trine") lines.push(["trine is", `${times(of.engine_times_as_fast)} as fast`]);
  return lines;
}
