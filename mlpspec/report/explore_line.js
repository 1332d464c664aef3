/** A run whose inputs lie on a line: time runs down, and below stands what it ends in. */
class LineStage {
  constructor(place, run, width, name, beside = null) {
    Object.assign(this, { run, width, name, small: width < 480 });
    const { middle: [middle], reach } = run.data;
    this.radius = run.k > 60 || this.small ? 3.2 : 4.6;
    this.left = this.small ? 46 : 52;
    this.right = width - (this.small ? 10 : 16);
    [this.low, this.high] = [middle - reach, middle + reach];
    this.x = scale(this.low, this.high, this.left, this.right);
    this.out = outside(run, run.steps.length - 1);
    const bottom = this.layRows(beside !== null);
    this.time = scale(0, late(run.steps.at(-1)) || 1, this.row.paths[0] + 6, this.row.paths[1] - 6);
    const [from, to] = run.data.hull.map(([end]) => this.x(end));
    place.innerHTML = svg(width, bottom + 34, describe(run), [
      box(from, 14, Math.max(to - from, 1), bottom - 20, { fill: INPUT, opacity: 0.1 }),
      run.recorded ? this.paths() : "", this.pairs(), this.responses(), this.fit(beside),
      this.axis(), group("now"),
    ].join(""));
    this.svg = place.firstElementChild;
    this.part = part => this.svg.querySelector(`[data-part="${part}"]`);
  }

  /** Lay out the rows, each from its top to its bottom; return where the last ends. */
  layRows(two) {
    const { small, width, run } = this;
    const tall = small ? (two ? 150 : 200) : Math.max(240, Math.min(330, width * 0.42));
    const rows = [
      ["rail", run.recorded ? 14 : 0, 0], ["paths", run.recorded ? tall : 22, 0],
      ["pairs", small ? 36 : 46, 6], ["heard", small ? 46 : 70, 12], ["fit", small ? 68 : 112, 6],
    ];
    this.row = {};
    let y = 14;
    for (const [name, height, gap] of rows) {
      this.row[name] = [y, y + height];
      y += height + gap;
    }
    return y;
  }

  /** The place of a position, at the edge of the frame if it is beyond it. */
  inFrame(value) {
    const within = Math.max(this.low, Math.min(this.high, value));
    return Number.isNaN(value) ? this.right : this.x(within);
  }

  colour(j) {
    return this.out[j] ? OUT : INK;
  }

  inputTicks(from, to) {
    return this.run.data.x.map(v =>
      line(this.x(v), from, this.x(v), to, { stroke: INPUT, "stroke-width": 1.4 })).join("");
  }

  pathOf(j, more) {
    const { run } = this;
    const points = run.steps.map((step, t) =>
      [this.inFrame(places(run, t)[j]), this.time(late(step))]);
    return path(points, more);
  }

  /** Prototypes over time: faint as a whole, strong up to the moment that is shown. */
  paths() {
    const { run, left, right, row, name } = this;
    const steps = timeTicks(run.steps.at(-1)).map(step => {
      const y = this.time(late(step));
      return line(left, y, right, y, { stroke: LINE, "stroke-width": 0.8 }) +
        text(left - 6, y + 4, number(step), END);
    });
    const thin = this.small || run.k > 60 ? 0.9 : 1.3;
    const all = Array.from({ length: run.k }, (_, j) =>
      this.pathOf(j, { stroke: this.colour(j), "stroke-width": thin })).join("");
    return steps.join("") + text(left - 6, row.rail[0] + 4, "step", END) +
      this.inputTicks(...row.rail) +
      clip(`${name}-past`, box(0, 0, this.width, 10, { "data-part": "past" })) +
      tag("g", { opacity: 0.17 }, all) + group("picked-path") +
      tag("g", { "clip-path": `url(#${name}-past)`, opacity: 0.75 }, all);
  }

  /** Lines from final prototypes to the inputs that they are matched with. */
  pairs() {
    const { run, row } = this, ends = prototypes(run), bottom = row.pairs[1] - 12;
    const lines = Array.from(run.matched, (j, n) => {
      if (j < 0) return "";
      const from = this.inFrame(ends[j]), to = this.x(run.data.x[n]);
      const more = { stroke: this.colour(j), "stroke-width": 0.9, opacity: 0.55 };
      return line(from, row.pairs[0], to, bottom, { ...more, "data-pair": j });
    });
    return lines.join("") + this.inputTicks(bottom, row.pairs[1]) +
      text(this.left - 6, bottom + 10, "inputs", END);
  }

  /** The response of a final neuron where it is seen, as points; null beyond the frame. */
  curve(j) {
    const { run, low, high, row } = this, { w, b, s, p } = parts(run);
    const slope = w ? w[j] : s[j], offset = w ? b[j] : -s[j] * p[j];
    const ends = [-2.7, 2.7].map(z => (z - offset) / slope).sort((g, h) => g - h);
    const from = Math.max(ends[0], low), to = Math.min(ends[1], high);
    if (!(to > from)) return null;
    const up = scale(0, 1, row.heard[1], row.heard[0] + 2);
    return Array.from({ length: 49 }, (_, i) => {
      const at = from + (to - from) * i / 48;
      return [this.x(at), up(Math.exp(-Math.min((slope * at + offset) ** 2, 340)))];
    });
  }

  responses() {
    const { run, row, left, right } = this, opacity = run.k > 30 ? 0.35 : 0.6;
    const curves = Array.from({ length: run.k }, (_, j) => {
      const points = this.curve(j);
      return points ? path(points, { stroke: this.colour(j), "stroke-width": 1, opacity }) : "";
    });
    return line(left, row.heard[1], right, row.heard[1], { stroke: LINE }) + curves.join("") +
      group("picked-response") + text(left + 2, row.heard[0] + 4, "responses at the end");
  }

  /** The final network and its targets; of two runs on the same data both at the same scale. */
  fit(beside) {
    const { run, low, high, left, right, row } = this, { x: inputs, y: targets } = run.data;
    const xs = Float64Array.from({ length: 501 }, (_, i) => low + (high - low) * i / 500);
    const runs = beside && beside.data === run.data ? [run, beside] : [run];
    const all = runs.map(each => respond(each, xs).f), [[from], [to]] = run.data.hull;
    const within = f => Array.from(f).filter((_, i) => xs[i] >= from && xs[i] <= to);
    const seen = [...targets, ...all.flatMap(within)];
    const pad = 0.12 * (Math.max(...seen) - Math.min(...seen)) || 1;
    const [least, most] = [Math.min(...seen) - pad, Math.max(...seen) + pad];
    const up = scale(least, most, row.fit[1], row.fit[0]), id = `${this.name}-fit`;
    const points = Array.from(all[0], (v, i) =>
      [this.x(xs[i]), Math.max(-1e4, Math.min(1e4, up(v)))]);
    const looks = { stroke: style(run.label)[0], "stroke-width": 2, "clip-path": `url(#${id})` };
    const dots = inputs.map((v, i) => dot(this.x(v), up(targets[i]), run.n > 60 ? 2.2 : 3.2,
      { fill: INPUT, stroke: "#fff", "stroke-width": 0.7 }));
    const labels = ticks(least, most, false, 3).map(v => text(left - 6, up(v) + 4, number(v), END));
    return clip(id, box(left, row.fit[0], right - left, row.fit[1] - row.fit[0])) +
      path(points, looks) + dots.join("") + labels.join("") +
      text(left + 2, row.fit[0] + 8, "fit at the end, targets");
  }

  axis() {
    const { left, right } = this, y = this.row.fit[1];
    const labels = ticks(this.low, this.high, false, this.small ? 4 : 6).map(v =>
      line(this.x(v), y, this.x(v), y + 4, { stroke: SOFT }) +
      text(this.x(v), y + 16, number(v), MIDDLE));
    return line(left, y, right, y, { stroke: SOFT }) + labels.join("") +
      text((left + right) / 2, y + 31, "x", MIDDLE);
  }

  /** Show a moment and a chosen neuron, or null. */
  move(step, picked) {
    const { run, row, low, high } = this, { t, marks } = marksAt(run, step, picked);
    const y = run.recorded ? this.time(late(run.steps[t])) : row.paths[1] - 6;
    const pieces = [];
    if (run.recorded) {
      pieces.push(line(this.left, y, this.right, y, { stroke: INK, opacity: 0.5 }));
      this.part("past").setAttribute("height", fixed(y));
    }
    for (const each of marks) {
      const [p] = each.point;
      if (p >= low && p <= high) pieces.push(mark(this.x(p), y, each, this.radius));
    }
    const where = marks.map(each => each.point[0]);
    const told = (far, end, x, anchor) => {
      const count = `${far.length} beyond, to ${number(end(...far))}`;
      const content = anchor === "end" ? `${count} \u25b6` : `\u25c0 ${count}`;
      const more = { "text-anchor": anchor, fill: OUT, "font-weight": 600 };
      if (far.length) pieces.push(text(x, y > 60 ? y - 8 : y + 16, content, more));
    };
    told(where.filter(p => p < low), Math.min, this.left, "start");
    told(where.filter(p => !(p <= high) && !(p < low)), Math.max, this.right, "end");
    this.part("now").innerHTML = pieces.join("");
    this.pick(picked);
  }

  pick(j) {
    const known = j !== null && j < this.run.k;
    for (const pair of this.svg.querySelectorAll("[data-pair]")) {
      const own = known && Number(pair.dataset.pair) === j;
      pair.setAttribute("stroke", own ? PICKED : this.colour(Number(pair.dataset.pair)));
      pair.setAttribute("stroke-width", own ? 3 : 0.9);
      pair.setAttribute("opacity", own ? 1 : 0.55);
    }
    const points = known && this.curve(j);
    this.part("picked-response").innerHTML =
      points ? path(points, { stroke: PICKED, "stroke-width": 3 }) : "";
    if (!this.run.recorded) return;
    this.part("picked-path").innerHTML =
      known ? this.pathOf(j, { stroke: PICKED, "stroke-width": 5, opacity: 0.55 }) : "";
  }

  /** The neuron that passes nearest to a point of the picture, or null. */
  neuronAt(x, y, step) {
    const { run, row } = this, heights = run.steps.map(s => Math.abs(this.time(late(s)) - y));
    let t = momentAt(run.steps, step);
    if (y > row.paths[1]) t = run.steps.length - 1;
    else if (heights[t] > 14) t = heights.indexOf(Math.min(...heights));
    const far = Array.from(places(run, t), p => Math.abs(this.inFrame(p) - x));
    const nearest = Math.min(...far);
    return nearest < 22 ? far.indexOf(nearest) : null;
  }
}
