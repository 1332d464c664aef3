// Charts: the terms of the objective over time, and all runs.

const TERM_STYLES = { objective: [INK, "6 3", 2.2], fit: [SOFT, "", 1.6] };
const OTHER_TERMS = ["#882255", "#117733", "#332288", "#999933"];

const SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
/** A power of ten as an axis has it. */
function power(value) {
  const exponent = Math.round(Math.log10(value));
  if (exponent >= -2 && exponent <= 3) return number(value);
  const digits = String(Math.abs(exponent)).replace(/\d/g, c => SUPERSCRIPTS[c]);
  return `10${exponent < 0 ? "\u207b" : ""}${digits}`;
}

const setting = name => (name === "n_samples" ? "number of inputs N" : name.replace(/_/g, " "));

/** Limits of the terms of some runs: logarithmic over at most eight powers if all are above 0. */
function termLimits(runs) {
  const all = runs.flatMap(run => run.terms.flatMap(([, values]) => [...values]));
  const values = all.filter(Number.isFinite), positive = values.filter(v => v > 0);
  const high = Math.max(...values);
  if (values.some(v => v < 0) || !positive.length) {
    return { log: false, low: Math.min(0, ...values), high: high > 0 ? high : 1 };
  }
  const low = Math.max(Math.min(...positive), high * 1e-8);
  const powers = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high) + 1e-9)];
  return { log: true, low: 10 ** powers[0], high: 10 ** powers[1] };
}

/** Horizontal lines with their values, from left to right. */
const grid = (values, up, left, right, shown) => values.map(v =>
  line(left, up(v), right, up(v), { stroke: LINE, "stroke-width": 0.8 }) +
  text(left - 6, up(v) + 4, shown(v), END)).join("");

/** The objective, and its terms without their weights, over training time, with the moment shown. */
class TermsChart {
  constructor(place, run, width, { low, high, log }) {
    const height = 210, top = 18, bottom = height - 36, left = 58;
    const right = width - (width < 480 ? 92 : 130), end = run.steps.at(-1);
    Object.assign(this, { run, top, bottom, beside: right + 8 });
    this.time = scale(0, late(end) || 1, left, right);
    const up = scale(low, high, bottom, top, log), pieces = [];
    pieces.push(grid(ticks(low, high, log, 5), up, left, right, log ? power : number));
    timeTicks(end).forEach((step, i) => {
      const x = this.time(late(step));
      if (step !== end && right - x < 38) return;
      pieces.push(line(x, bottom, x, bottom + 4, { stroke: SOFT }));
      pieces.push(text(x, bottom + 16, number(step), i ? MIDDLE : {}));
    });
    pieces.push(line(left, bottom, right, bottom, { stroke: SOFT }));
    pieces.push(text((left + right) / 2, height - 4, "training step", MIDDLE));
    pieces.push(text(left, 11, "the objective, and its terms without their weights"));
    this.labels = [];
    run.terms.forEach(([name, values], i) => {
      const own = DATA.styles[name]?.[0] ?? OTHER_TERMS[i % OTHER_TERMS.length];
      const [colour, dashes, wide] = TERM_STYLES[name] ?? [own, "", 1.6];
      const points = Array.from(values, (v, t) =>
        [this.time(late(run.steps[t])), Math.max(top, up(Math.max(v, low)))]);
      const looks = { stroke: colour, "stroke-width": wide, "stroke-dasharray": dashes };
      pieces.push(path(points, looks));
      const ends = points.map(([, y]) => y).filter(Number.isFinite);
      if (ends.length) this.labels.push({ y: ends.at(-1), name, colour, values });
    });
    this.spread();
    for (const { y, name, colour } of this.labels) {
      const looks = { fill: colour, "font-weight": 600 };
      pieces.push(text(this.beside, y, name.replace(/_/g, " "), looks));
    }
    place.innerHTML = svg(width, height, "terms of the objective over training",
      pieces.join("") + group("now"));
    this.now = place.querySelector('[data-part="now"]');
  }

  /** Move labels apart, each of two lines, and up where they would end below the chart. */
  spread() {
    const each = 29, { labels } = this;
    labels.sort((a, b) => a.y - b.y);
    labels.forEach((label, i) => { if (i) label.y = Math.max(label.y, labels[i - 1].y + each); });
    const over = Math.max(0, (labels.at(-1)?.y ?? 0) + 16 - this.bottom);
    labels.forEach((label, i) => { label.y = Math.max(this.top + each * i, label.y - over); });
  }

  move(step) {
    const t = momentAt(this.run.steps, step), x = this.time(late(this.run.steps[t]));
    this.now.innerHTML = line(x, this.top, x, this.bottom, { stroke: INK, opacity: 0.5 }) +
      this.labels.map(({ y, values }) =>
        text(this.beside, y + 13.5, number(values[t]), { fill: INK })).join("");
  }
}

/** Runs, a dot each, by a measurement over a setting, in a lane for each of their losses. */
class AllRuns {
  constructor(place, runs, width, { y: name, over, hidden }) {
    const [title, unit, floor] = DATA.measurements[name], small = width < 560;
    const seen = runs.filter(run => !hidden.has(run.label));
    const shown = seen.filter(run => run.cells[name] !== null);
    const labels = Object.keys(DATA.styles).filter(label => !hidden.has(label));
    const values = sorted(new Set(runs.map(run => run.cells[over])));
    this.lacking = seen.length - shown.length;
    const left = small ? 46 : 62, right = width - 8, top = 26;
    // So many values in a row that lanes can be told apart; a row has an axis of its own.
    const fit = Math.floor((right - left) * 0.9 / (9 * Math.max(labels.length, 1)));
    const rows = Math.ceil(values.length / Math.max(1, fit));
    const each = Math.ceil(values.length / rows);
    const tall = rows > 1 ? 190 : small ? 340 : 410, height = top + rows * tall + 26;
    const wide = (right - left) / each, lane = wide * 0.9 / Math.max(labels.length, 1);
    const bottom = i => top + (Math.floor(i / each) + 1) * tall - 22;
    const from = i => left + (i % each) * wide;
    const { low, high, log } = measureLimits(shown.map(run => run.cells[name]), floor);
    const up = i => scale(low, high, bottom(i) - 6, bottom(i) - tall + 32, log);
    const few = each < 16 ? 1 : Math.ceil(each / 12);
    const fits = Math.max(3, Math.floor(wide * few / 6.2));
    const pieces = [];
    values.forEach((value, i) => {
      const at = i % each, marks = ticks(low, high, log, rows > 1 ? 4 : 6);
      if (!at) pieces.push(grid(marks, up(i), left, right, log ? power : number));
      const shade = { fill: "#000", opacity: 0.03 };
      if (at % 2) pieces.push(box(from(i), bottom(i) - tall + 26, wide, tall - 26, shade));
      const told = number(value);
      const short = told.length > fits ? `${told.slice(0, fits - 1)}\u2026` : told;
      if (i % few === 0) pieces.push(text(from(i) + wide / 2, bottom(i) + 16, short, MIDDLE));
    });
    pieces.push(text((left + right) / 2, height - 6, setting(over), MIDDLE));
    const below = log && low === floor ? `, ${power(floor)} or less at the bottom` : "";
    pieces.push(text(4, 14, title + (unit ? ` (${unit})` : "") + below));
    const groups = new Map(), seeds = sorted(new Set(runs.map(run => run.cells.seed)));
    this.dots = shown.map(run => {
      const i = values.indexOf(run.cells[over]), row = labels.indexOf(run.label);
      const middle = from(i) + 0.05 * wide + (row + 0.5) * lane, place = `${i} ${row}`;
      const share = seeds.indexOf(run.cells.seed) / Math.max(seeds.length - 1, 1) - 0.5;
      const value = log ? Math.max(run.cells[name], low) : run.cells[name];
      if (!groups.has(place)) groups.set(place, { middle, up: up(i), values: [] });
      groups.get(place).values.push(value);
      return { run, x: middle + (seeds.length > 1 ? 0.6 * share * lane : 0), y: up(i)(value) };
    });
    this.radius = Math.max(2, Math.min(4, lane * 0.24));
    for (const { run, x, y } of this.dots) {
      pieces.push(dot(x, y, this.radius, { fill: style(run.label)[0], opacity: 0.75 }));
    }
    for (const { middle, up: place, values: all } of groups.values()) {
      const y = place(median(all)), ends = [middle - lane * 0.42, y, middle + lane * 0.42, y];
      pieces.push(line(...ends, { stroke: "#fff", "stroke-width": 4 }));
      pieces.push(line(...ends, { stroke: INK, "stroke-width": 2.2 }));
    }
    place.innerHTML = svg(width, height, `${title} of ${shown.length} runs over ${setting(over)}`,
      pieces.join("") + group("chosen"));
    this.svg = place.firstElementChild;
  }

  /** Ring runs, each with its letters: {key: letters}. */
  mark(letters) {
    const marked = this.dots.filter(({ run }) => run.key in letters).map(({ run, x, y }) =>
      dot(x, y, this.radius + 4, { fill: "none", stroke: PICKED, "stroke-width": 3 }) +
      text(x, y - this.radius - 8, letters[run.key], { ...MIDDLE, fill: INK, "font-weight": 700 }));
    this.svg.querySelector('[data-part="chosen"]').innerHTML = marked.join("");
  }

  /** The run nearest to a point of the picture, or null. */
  runAt(x, y) {
    let found = null, least = 20;
    for (const each of this.dots) {
      const far = Math.hypot(each.x - x, each.y - y);
      if (far < least) [found, least] = [each.run, far];
    }
    return found;
  }
}

/** Limits of an axis: logarithmic from the floor on if a measurement has one, else from 0. */
function measureLimits(values, floor) {
  const log = floor !== null;
  if (!values.length) return { log, low: log ? floor : 0, high: 1 };
  const low = Math.min(...values), high = Math.max(...values);
  if (log) return { log, low: Math.max(low, floor), high: Math.max(high, 10 * floor) };
  return { log, low: Math.min(0, low), high: high > low || high > 0 ? high : low + 1 };
}
