// Charts: the terms of the objective over time, and all runs.

const TERM_LOOKS = { objective: [INK, "6 3"], fit: ["#5b6670", ""] };
const OTHER_TERMS = ["#882255", "#117733", "#332288", "#999933"];

/** The terms of the objective over training time, unweighted, with the moment that is shown. */
class TermsChart {
  constructor(place, run, width, limits) {
    this.run = run;
    const height = 210, left = 58, right = width < 480 ? 92 : 130, top = 18, bottom = height - 36;
    const end = run.steps.at(-1);
    this.time = scale(0, late(end) || 1, left, width - right);
    const log = limits.log, up = scale(limits.low, limits.high, bottom, top, log);
    this.box = [top, bottom];
    const pieces = [];
    for (const v of ticks(limits.low, limits.high, log, 5)) {
      pieces.push(line(left, up(v), width - right, up(v), { stroke: LINE, "stroke-width": 0.8 }));
      pieces.push(text(left - 6, up(v) + 4, log ? power(v) : number(v), { "text-anchor": "end" }));
    }
    timeTicks(end).forEach((step, i) => {
      const at = this.time(late(step)), last = this.time(late(end));
      if (step !== end && last - at < 38) return;
      pieces.push(line(at, bottom, at, bottom + 4, { stroke: SOFT }));
      pieces.push(text(at, bottom + 16, number(step), { "text-anchor": i ? "middle" : "start" }));
    });
    pieces.push(line(left, bottom, width - right, bottom, { stroke: SOFT }));
    pieces.push(text((left + width - right) / 2, height - 4, "training step", { "text-anchor": "middle" }));
    pieces.push(text(left, 11, "terms of the objective, unweighted"));
    const labels = [];
    run.terms.forEach(([name, values], i) => {
      const [colour, dashes] = TERM_LOOKS[name] ?? [DATA.looks[name]?.[0] ?? OTHER_TERMS[i % 4], ""];
      const points = [];
      run.steps.forEach((step, t) => {
        const v = Math.max(values[t], limits.low);
        if (Number.isFinite(v)) points.push([this.time(late(step)), Math.max(top, up(v))]);
      });
      if (!points.length) return;
      pieces.push(path(points, { stroke: colour, "stroke-width": name === "objective" ? 2.2 : 1.6, "stroke-dasharray": dashes }));
      labels.push({ y: points.at(-1)[1], name, colour, values });
    });
    labels.sort((a, b) => a.y - b.y);
    labels.forEach((label, i) => { if (i) label.y = Math.max(label.y, labels[i - 1].y + 29); });
    const over = Math.max(0, (labels.at(-1)?.y ?? 0) + 16 - bottom);
    labels.forEach((label, i) => { label.y = Math.max(top + 29 * i, label.y - over); });
    this.labels = labels;
    for (const { y, name, colour } of labels) {
      pieces.push(text(width - right + 8, y, name.replace(/_/g, " "), { fill: colour, "font-weight": 600 }));
    }
    pieces.push(tag("g", { "data-part": "now" }));
    this.values = width - right + 8;
    place.innerHTML = svg(width, height, "terms of the objective over training", pieces.join(""));
    this.now = place.querySelector('[data-part="now"]');
  }

  move(step) {
    const t = momentAt(this.run, step), at = this.time(late(this.run.steps[t]));
    this.now.innerHTML = line(at, this.box[0], at, this.box[1], { stroke: INK, opacity: 0.5 }) +
      this.labels.map(({ y, values }) => text(this.values, y + 13.5, number(values[t]), { fill: INK })).join("");
  }
}

/** Limits of the terms of some runs: logarithmic over at most eight powers, unless one is negative. */
function termLimits(runs) {
  const values = runs.flatMap(run => run.terms.flatMap(([, all]) => [...all])).filter(Number.isFinite);
  const positive = values.filter(v => v > 0), high = Math.max(...values);
  if (values.some(v => v < 0) || !positive.length) {
    return { log: false, low: Math.min(0, ...values), high: high > 0 ? high : 1 };
  }
  const low = Math.max(Math.min(...positive), high * 1e-8);
  return { log: true, low: 10 ** Math.floor(Math.log10(low)), high: 10 ** Math.ceil(Math.log10(high) + 1e-9) };
}

const SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079";
const power = value => {
  const exponent = Math.round(Math.log10(value));
  if (exponent >= -2 && exponent <= 3) return number(value);
  return `10${exponent < 0 ? "\u207b" : ""}${String(Math.abs(exponent)).replace(/\d/g, c => SUPERSCRIPTS[c])}`;
};

/** All runs that are not left out: a measurement over a setting, a dot a run, bars the medians. */
class AllRuns {
  constructor(place, runs, width, { y: name, over, hidden }) {
    const [title, unit, floor] = DATA.measurements[name], small = width < 560;
    const values = [...new Set(runs.map(run => run.cells[over]))];
    values.sort((a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(b)));
    const labels = Object.keys(DATA.looks).filter(label => !hidden.has(label));
    const shown = runs.filter(run => !hidden.has(run.label) && run.cells[name] !== null);
    const left = small ? 46 : 62, right = 8, across = width - left - right;
    // So many values in a row that lanes can be told apart; a row has an axis of its own.
    const rows = Math.ceil(values.length / Math.max(1, Math.floor(across * 0.9 / (9 * Math.max(labels.length, 1)))));
    const each = Math.ceil(values.length / rows), tall = rows > 1 ? 190 : small ? 340 : 410, top = 26;
    const height = top + rows * tall + 26, bottom = i => top + (Math.floor(i / each) + 1) * tall - 22;
    const numbers = shown.map(run => run.cells[name]), log = floor !== null;
    let low = Math.min(...numbers), high = Math.max(...numbers);
    if (log) [low, high] = [Math.max(low, floor), Math.max(high, 10 * floor)];
    else [low, high] = [Math.min(0, low), high > low ? high : low + 1];
    if (!numbers.length) [low, high] = log ? [floor, 1] : [0, 1];
    const up = (value, i) => scale(low, high, bottom(i) - 6, bottom(i) - tall + 32, log)(value);
    const wide = across / each, at = i => left + (i % each) * wide, lane = wide * 0.9 / Math.max(labels.length, 1), pieces = [];
    const few = each < 16 ? 1 : Math.ceil(each / 12), fits = Math.max(3, Math.floor(wide * few / 6.2));
    values.forEach((value, i) => {
      if (i % each === 0) {
        for (const v of ticks(low, high, log, rows > 1 ? 4 : 6)) {
          pieces.push(line(left, up(v, i), width - right, up(v, i), { stroke: LINE, "stroke-width": 0.8 }));
          pieces.push(text(left - 6, up(v, i) + 4, log ? power(v) : number(v), { "text-anchor": "end" }));
        }
      }
      if ((i % each) % 2) pieces.push(tag("rect", { x: fixed(at(i)), y: bottom(i) - tall + 26, width: fixed(wide), height: tall - 26, fill: "#000", opacity: 0.03 }));
      if (i % few === 0) {
        const told = typeof value === "number" ? number(value) : String(value ?? DASH);
        pieces.push(text(at(i) + wide / 2, bottom(i) + 16, told.length > fits ? `${told.slice(0, fits - 1)}\u2026` : told, { "text-anchor": "middle" }));
      }
    });
    pieces.push(text(left + across / 2, height - 6, setting(over), { "text-anchor": "middle" }));
    pieces.push(text(4, 14, title + (unit ? ` (${unit})` : "") + (log ? `, ${power(floor)} or less at the bottom` : "")));
    const groups = new Map(), seeds = [...new Set(runs.map(run => run.cells.seed))].sort((a, b) => a - b);
    this.dots = shown.map(run => {
      const column = values.indexOf(run.cells[over]), row = labels.indexOf(run.label);
      const middle = at(column) + 0.05 * wide + (row + 0.5) * lane, group = `${column} ${row}`;
      const aside = seeds.length > 1 ? (seeds.indexOf(run.cells.seed) / (seeds.length - 1) - 0.5) * lane * 0.6 : 0;
      const value = log ? Math.max(run.cells[name], low) : run.cells[name];
      if (!groups.has(group)) groups.set(group, { column, middle, values: [] });
      groups.get(group).values.push(value);
      return { run, x: middle + aside, y: up(value, column) };
    });
    const radius = Math.max(2, Math.min(4, lane * 0.24));
    for (const { run, x, y } of this.dots) {
      pieces.push(tag("circle", { cx: fixed(x), cy: fixed(y), r: fixed(radius), fill: look(run.label)[0], opacity: 0.75 }));
    }
    for (const { column, middle, values: all } of groups.values()) {
      const y = up(median(all), column), ends = [middle - lane * 0.42, y, middle + lane * 0.42, y];
      pieces.push(line(...ends, { stroke: "#fff", "stroke-width": 4 }), line(...ends, { stroke: INK, "stroke-width": 2.2 }));
    }
    pieces.push(tag("g", { "data-part": "chosen" }));
    place.innerHTML = svg(width, height, `${title} of ${shown.length} runs over ${setting(over)}`, pieces.join(""));
    this.svg = place.firstElementChild;
    this.radius = radius;
    this.shown = shown.length;
    this.lacking = runs.filter(run => !hidden.has(run.label)).length - shown.length;
  }

  /** Ring runs, each with its letter: {key: letter}. */
  mark(letters) {
    const pieces = [];
    for (const { run, x, y } of this.dots) {
      const letter = letters[run.key];
      if (letter === undefined) continue;
      pieces.push(tag("circle", { cx: fixed(x), cy: fixed(y), r: this.radius + 4, fill: "none", stroke: PICKED, "stroke-width": 3 }));
      pieces.push(text(x, y - this.radius - 8, letter, { "text-anchor": "middle", fill: INK, "font-weight": 700 }));
    }
    this.svg.querySelector('[data-part="chosen"]').innerHTML = pieces.join("");
  }

  runAt(x, y) {
    let found = null, least = 20;
    for (const dot of this.dots) {
      const far = Math.hypot(dot.x - x, dot.y - y);
      if (far < least) [found, least] = [dot.run, far];
    }
    return found;
  }
}

const setting = name => (name === "n_samples" ? "number of inputs N" : name.replace(/_/g, " "));
