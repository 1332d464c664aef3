// The three views, and what is done in them.

const main = document.querySelector("main"), time = document.querySelector(".time");
const slider = document.getElementById("step"), play = document.getElementById("play");
const told = document.getElementById("told");

/** What is drawn: stages and charts of the runs shown, or the chart of all runs; the steps of the
    slider; the timer that plays. */
let drawn = [], chart = null, steps = [], playing = null;

/** Change the state. Another view or run is a step of the browser's history, another moment not. */
function go(change) {
  const before = `${state.view} ${state.a} ${state.b}`;
  Object.assign(state, change);
  wrong = "";
  if (before === `${state.view} ${state.a} ${state.b}`) remember();
  else history.pushState(null, "", address());
  if (Object.keys(change).every(name => name === "step" || name === "neuron")) move();
  else draw();
}

// ----------------------------------------------------------------------------- words

function words(run) {
  const [colour, name] = style(run.label);
  const ended = run.cells.status === "ok" ? "" : ` (${escaped(run.cells.status)})`;
  return `<b><span class="chip" style="border-color:${colour}">${escaped(name)}</span></b>${ended}`;
}

/** What two runs share; equal starts are known only where both were recorded. */
function shared(a, b) {
  if (!sameProblem(a, b)) return "in another problem";
  const begin = [a, b].map(run => run.rounded.subarray(0, run.k * run.d).join());
  const same = a.recorded && b.recorded && begin[0] === begin[1];
  return `on the same data${same ? " from the same start" : ""}`;
}

function headline([a, b]) {
  const first = `After ${number(a.cells.steps_taken)} steps with ${words(a)}, ` +
    `<b>${sum(a.expelled)} of ${a.k}</b> neurons are expelled`;
  if (!b || a === b) return `${first}.`;
  const count = `${sum(b.expelled)}${a.k === b.k ? "" : ` of ${b.k}`}`;
  return `${first}; with ${words(b)} <b>${count}</b>, ${shared(a, b)}.`;
}

/** What is said of a run at a moment. */
function counts(run, step, neuron) {
  if (run.d > 2) return "";
  const t = momentAt(run.steps, step), last = t === run.steps.length - 1;
  const out = `<b>${sum(outside(run, t))} of ${run.k}</b> outside the hull`;
  const when = last ? `, ${sum(run.expelled)} expelled.` : ` at step ${number(run.steps[t])}.`;
  if (neuron === null || neuron >= run.k) return out + when;
  const at = [...places(run, t).subarray(neuron * run.d, (neuron + 1) * run.d)].map(p => number(p));
  const ended = last
    ? `, slope ${number(slopes(run)[neuron])}, height ${number(parts(run).v[neuron])}` : "";
  return `${out}${when} Neuron ${neuron}: x ${at.join(", ")}${ended}.`;
}

const fieldName = name => (name === "n_samples" ? "N" : escaped(name.replace(/_/g, " ")));
const fieldValue = (name, value) =>
  escaped(name === "losses" ? style(value)[1] : number(value, 6));

// ----------------------------------------------------------------------------- HTML

function options(values, chosenValue, shown) {
  return values.map(([value, name]) => {
    const selected = value === chosenValue ? " selected" : "";
    const content = shown ? shown(name) : escaped(name);
    return `<option value="${escaped(value)}"${selected}>${content}</option>`;
  }).join("");
}

/** Choices of another run, field by field; values are places in `valuesOf`. */
function picker(letter) {
  const run = BY_KEY.get(state[letter]);
  const choices = FIELDS.filter(name => valuesOf[name].length > 1).map(name => {
    const values = valuesOf[name].map((value, i) => [i, value]);
    const now = valuesOf[name].indexOf(run.cells[name]);
    return `<label><span>${fieldName(name)}</span>` +
      `<select data-run="${letter}" data-field="${name}">` +
      `${options(values, now, value => fieldValue(name, value))}</select></label>`;
  });
  return `<div class="controls">${choices.join("")}</div>`;
}

function runCard(letter) {
  const run = BY_KEY.get(state[letter]);
  const title = state.view === "two" ? `<small>${letter.toUpperCase()}</small> ` : "";
  return `<section class="run"><div class="head"><h2>${title}${words(run)} ` +
    `<small>N = ${run.n}, seed ${run.cells.seed}</small></h2>${picker(letter)}</div>` +
    `<p class="count" data-count="${letter}"></p>` +
    `<div class="stage" data-stage="${letter}"></div></section>`;
}

function numbers(runs) {
  const letter = i => (runs.length > 1 ? `${"AB"[i]}: ` : "");
  const heads = runs.map((run, i) =>
    `<th scope="col">${letter(i)}${escaped(style(run.label)[1])}</th>`);
  const rows = Object.entries(DATA.measurements).map(([name, [title, unit]]) => {
    const cells = runs.map(run => `<td>${number(run.cells[name])}</td>`).join("");
    const measured = escaped(title) + (unit ? ` <small>(${escaped(unit)})</small>` : "");
    const marked = name === state.y ? ' class="shown"' : "";
    return `<tr${marked}><th scope="row">${measured}</th>${cells}</tr>`;
  });
  const keys = runs.map((run, i) => `<p class="note">${letter(i) || "In Python: "}` +
    `<code>mlpspec.load(DIRECTORY).params("${run.key}")</code> ` +
    `<button type="button" data-copy="${run.key}">Copy key</button></p>`);
  return `<table><thead><tr><th scope="col">at the end</th>${heads.join("")}</tr></thead>` +
    `<tbody>${rows.join("")}</tbody></table>${keys.join("")}`;
}

const NOT_RECORDED = '<p class="note">Nothing was recorded while this run trained; shown is its ' +
  "end.</p>";

const NO_PLACES = '<p class="note">Positions are drawn on a line and in the plane only. See the ' +
  "numbers, and the figure <code>hull</code> of the report.</p>";

const NONE_RECORDED = '<p class="note" data-none-recorded>No run here was recorded while it ' +
  "trained: only ends are shown. Trained again, with <code>--set record=log</code> and another " +
  "<code>--out</code>, runs are.</p>";

/** How many runs that have something to show are left out. */
const LEFT = DATA.runs - RUNS.length - DATA.failed;

const SOME_ONLY = `<p class="note" data-some-only>This page shows ${number(RUNS.length)} of ` +
  `${number(DATA.runs)} runs: its end says which are left out.</p>`;

function draw() {
  stop();
  [drawn, chart] = [[], null];
  for (const button of document.querySelectorAll("nav > button")) {
    button.setAttribute("aria-pressed", button.dataset.view === state.view);
  }
  const warning = (wrong ? `<p class="note warn" role="alert">${escaped(wrong)}</p>` : "") +
    (LEFT ? SOME_ONLY : "") + (RUNS.some(run => run.recorded) ? "" : NONE_RECORDED);
  if (!RUNS.length) main.innerHTML = "<p>No run of this directory has anything to show.</p>";
  else if (state.view === "all") drawAll(warning);
  else drawRuns(warning);
  time.hidden = !RUNS.length || state.view === "all" || steps.length < 2;
  if (RUNS.length) move();
}

function drawRuns(warning) {
  const runs = shownRuns(), two = state.view === "two";
  const first = two && state.a === DATA.first.a && state.b === DATA.first.b;
  const rule = first ? `${DATA.first.rule} Statistics are in the report.` : "";
  const legend = runs[0].d < 3 ? marksLegend(runs[0].d === 2) : "";
  main.innerHTML = `${warning}<p class="headline" data-save>${headline(runs)}</p>` +
    (rule ? `<p class="note" data-save>${escaped(rule)}</p>` : "") +
    `<div class="legend">${legend}</div>` + (two
    ? `<div class="pair">${runCard("a")}${runCard("b")}<div data-terms="a"></div>` +
      `<div data-terms="b"></div></div><h2 class="note">Numbers</h2>${numbers(runs)}`
    : `<div class="one">${runCard("a")}<aside><div data-terms="a"></div>${numbers(runs)}</aside>` +
      "</div>");
  const limits = termLimits(runs);
  runs.forEach((run, i) => {
    const place = main.querySelector(`[data-stage="${"ab"[i]}"]`), Stage = STAGES[run.d];
    const other = two ? runs[1 - i] : null;
    if (!Stage) place.innerHTML = NO_PLACES;
    else drawn.push(new Stage(place, run, Math.floor(place.clientWidth), "ab"[i], other));
    const terms = main.querySelector(`[data-terms="${"ab"[i]}"]`);
    if (!run.recorded) terms.innerHTML = NOT_RECORDED;
    else drawn.push(new TermsChart(terms, run, Math.floor(terms.clientWidth), limits));
  });
  steps = sorted(new Set(runs.flatMap(run => [...run.steps])));
  slider.max = steps.length - 1;
}

function drawAll(warning) {
  const select = (name, title, values, now) => `<label>${title}<select data-set="${name}">` +
    `${options(values, now)}</select></label>`;
  const measured = Object.entries(DATA.measurements).map(([name, [title]]) => [name, title]);
  const others = DATA.fields.filter(name => name !== state.over).map(name => {
    const values = valuesOf[name].map(value => [String(value), number(value, 6)]);
    const now = state.only[name] ?? "";
    return select(`only.${name}`, escaped(setting(name)), [["", "all"], ...values], now);
  });
  const over = DATA.fields.map(name => [name, setting(name)]);
  const losses = Object.entries(DATA.styles).map(([label, [colour, name]]) => {
    const pressed = `aria-pressed="${!state.hidden.has(label)}"`;
    return `<button type="button" data-loss="${escaped(label)}" ${pressed}>` +
      `<i style="background:${colour}"></i>${escaped(name)}</button>`;
  });
  main.innerHTML = `${warning}<div class="controls">` +
    `${select("y", "measurement", measured, state.y)}` +
    `${over.length > 1 ? select("over", "over", over, state.over) : ""}${others.join("")}</div>` +
    `<div class="legend losses" role="group" aria-label="losses">${losses.join("")}</div>` +
    '<div class="all" tabindex="0" aria-label="runs; arrows choose one, Enter opens it"></div>' +
    '<p class="count" data-said aria-live="polite"></p><p class="note" data-save></p>';
  const place = main.querySelector(".all");
  chart = new AllRuns(place, filtered(), Math.floor(place.clientWidth), state);
  const lacking = chart.lacking ? ` (of ${chart.lacking} more it is undefined)` : "";
  main.querySelector("p[data-save]").textContent =
    `${chart.dots.length} runs${lacking}, a dot each. Lanes and colours are the losses, in the ` +
    "order of the buttons; bars are medians. A and B are the runs of the other views: select a " +
    "dot to open its run, with Shift to put it beside A.";
}

/** Show another moment or neuron in what is drawn. */
function move() {
  if (chart) {
    chart.mark({ [state.b]: "B", [state.a]: state.a === state.b ? "A B" : "A" });
    say(BY_KEY.get(state.a));
    return;
  }
  const step = state.step ?? steps.at(-1), neuron = pickedNeuron();
  for (const picture of drawn) picture.move(step, neuron);
  slider.value = momentAt(steps, step);
  told.textContent = `step ${number(steps[slider.value])} of ${number(steps.at(-1))}`;
  slider.setAttribute("aria-valuetext", told.textContent);
  for (const place of main.querySelectorAll("[data-count]")) {
    place.innerHTML = counts(BY_KEY.get(state[place.dataset.count]), step, neuron);
  }
}

/** Say which run a dot is. */
function say(run) {
  const said = FIELDS.slice(1).map(name =>
    `${fieldName(name)} ${fieldValue(name, run.cells[name])}`);
  const measured = `${escaped(DATA.measurements[state.y][0])} ${number(run.cells[state.y])}`;
  main.querySelector("[data-said]").innerHTML =
    `${words(run)}, ${said.join(", ")}: ${measured} <code>${run.key}</code>`;
}

// ----------------------------------------------------------------------------- what is done

function stop() {
  clearInterval(playing);
  playing = null;
  play.textContent = "\u25b6 Play";
}

function start() {
  if (playing) {
    stop();
    return;
  }
  let at = Number(slider.value) >= steps.length - 1 ? 0 : Number(slider.value);
  const show = () => {
    stepTo(at);
    if (at++ >= steps.length - 1) stop();
  };
  play.textContent = "\u23f8 Pause";
  playing = setInterval(show, 110);
  show();
}

function stepTo(at) {
  const place = Math.max(0, Math.min(steps.length - 1, at));
  go({ step: place === steps.length - 1 ? null : steps[place] });
}

/** Go to the next value of a field of the run A. */
function turn(field, by) {
  const values = valuesOf[field], at = values.indexOf(BY_KEY.get(state.a).cells[field]);
  go(chosen("a", field, values[(at + by + values.length) % values.length]));
}

function turnNeuron(by) {
  const { k } = BY_KEY.get(state.a), now = pickedNeuron() ?? (by > 0 ? -1 : 0);
  go({ neuron: (now + by + k) % k });
}

/** Make a run A, and put the same problem with other losses beside it. */
const open = (run, more = {}) => go({ a: run.key, b: beside(run).key, neuron: undefined, ...more });

/** In the view of all runs: go to the dot to the right or left. */
function walk(by) {
  const order = [...chart.dots].sort((a, b) => a.x - b.x || a.y - b.y).map(each => each.run);
  const at = order.findIndex(run => run.key === state.a), next = order.at((at + by) % order.length);
  if (!next) return;
  Object.assign(state, { a: next.key, b: beside(next).key, neuron: undefined });
  remember();
  move();
}

const toNext = by => (chart ? walk(by) : stepTo(Number(slider.value) + by));

const KEYS = {
  1: ["all runs", () => go({ view: "all" })],
  2: ["one run", () => go({ view: "one" })],
  3: ["two runs", () => go({ view: "two" })],
  " ": ["play or pause", () => chart || start()],
  ArrowRight: ["the next moment, or run", () => toNext(1)],
  ArrowLeft: ["the one before", () => toNext(-1)],
  Home: ["the start of training", () => chart || stepTo(0)],
  End: ["its end", () => chart || stepTo(Infinity)],
  n: ["the next neuron", () => turnNeuron(1)],
  p: ["the one before", () => turnNeuron(-1)],
  Escape: ["no neuron", () => go({ neuron: null })],
  l: ["other losses, of run A", () => turn("losses", 1)],
  L: ["the ones before", () => turn("losses", -1)],
  d: ["another seed", () => turn("seed", 1)],
  D: ["the one before", () => turn("seed", -1)],
  x: ["exchange A and B", () => go({ a: state.b, b: state.a, neuron: undefined })],
  Enter: ["open the run A", () => chart && go({ view: "one" })],
  s: ["save the view as SVG", () => save()],
  "?": ["these keys", () => {
    const keys = document.getElementById("keys");
    if (keys.toggleAttribute("open")) keys.scrollIntoView();
  }],
};

addEventListener("keydown", event => {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || target.matches("select")) return;
  if (target.matches("button, summary") && [" ", "Enter"].includes(key)) return;
  if (!(key in KEYS) || !RUNS.length) return;
  event.preventDefault();
  KEYS[key][1]();
});
slider.addEventListener("input", () => { stop(); stepTo(Number(slider.value)); });
play.addEventListener("click", start);
main.addEventListener("change", ({ target }) => {
  const { run, field, set } = target.dataset;
  if (run) go(chosen(run, field, valuesOf[field][Number(target.value)]));
  else if (set.startsWith("only.")) {
    const only = { ...state.only, [set.slice(5)]: target.value };
    if (!target.value) delete only[set.slice(5)];
    go({ only });
  } else go({ [set]: target.value });
  // It was drawn anew.
  const again = run ? `[data-run="${run}"][data-field="${field}"]` : `[data-set="${set}"]`;
  main.querySelector(`select${again}`)?.focus();
});

/** Where an event is in a picture, in the picture's units. */
function placeIn(plot, event) {
  const frame = plot.getBoundingClientRect(), ratio = plot.viewBox.baseVal.width / frame.width;
  return [(event.clientX - frame.left) * ratio, (event.clientY - frame.top) * ratio];
}

main.addEventListener("click", event => {
  const { target } = event, loss = target.closest("[data-loss]"), plot = target.closest(".plot");
  if (loss) {
    const label = loss.dataset.loss, hidden = new Set(state.hidden);
    if (!hidden.delete(label)) hidden.add(label);
    go({ hidden });
    main.querySelector(`[data-loss="${CSS.escape(label)}"]`).focus();
  } else if (target.dataset.copy) {
    const copied = () => { target.textContent = "Copied"; };
    navigator.clipboard?.writeText(target.dataset.copy).then(copied, () => {});
  } else if (plot && plot === chart?.svg) {
    const run = chart.runAt(...placeIn(plot, event));
    if (run && event.shiftKey) go({ b: run.key, view: "two", neuron: undefined });
    else if (run) open(run, { view: "one" });
  } else if (plot) {
    const stage = drawn.find(each => each.svg === plot), step = state.step ?? steps.at(-1);
    if (stage) go({ neuron: stage.neuronAt(...placeIn(plot, event), step) });
  }
});
main.addEventListener("pointermove", event => {
  const plot = event.target.closest(".plot");
  if (plot && plot === chart?.svg) say(chart.runAt(...placeIn(plot, event)) ?? BY_KEY.get(state.a));
});
addEventListener("popstate", () => {
  clearTimeout(resting);
  readAddress();
  draw();
});
let width = innerWidth;
addEventListener("resize", () => {
  if (innerWidth === width) return;
  width = innerWidth;
  draw();
});
