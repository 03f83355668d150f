// Fills the panels around the chart: readout, facts, tables, legend and events.

import { change, figure, price, stamp, weekday } from "./format.js";
import { isDated } from "./timeframes.js";

const NAMES = { fomc: "FOMC", cpi: "CPI", nfp: "NFP", gdp: "GDP", pce: "PCE", rate_decision: "rate decision" };
const MOMENTS_SHOWN = 8;

/** Make an element with a class and text or children. */
export function make(tag, { className = "", text = "", children = [] } = {}) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text) node.textContent = text;
  node.append(...children);
  return node;
}

function pairs(node, facts) {
  node.replaceChildren(...facts.flatMap(([name, value]) => {
    const shown = make("dd", { children: Array.isArray(value) ? value : [value] });
    return [make("dt", { text: name }), shown];
  }));
}

/** Names of the lower quantile, the median and the upper one of a forecast's band, such as p10 and p90. */
const bandNames = ({ band }) => [`p${+(50 - band / 2).toFixed(1)}`, "median", `p${+(50 + band / 2).toFixed(1)}`];

const small = (text) => make("small", { text });

/** Show the candle and the forecasts at a position, or at the last candle used. */
export function showReadout(node, view, place) {
  const known = view.candles.filter((row) => row.close !== null);
  const time = place === null ? view.asOf : view.timeline.times[place];
  if (time === undefined) return;
  const parts = [make("b", { text: `${stamp(time, view.timeframe)}${isDated(view.timeframe) ? "" : " UTC"}` })];
  const add = (name, text, className) => {
    const value = make("b", { text, className });
    parts.push(make("span", { children: [`${name} `, value] }));
  };
  const row = known.find((one) => one.time === time);
  if (row) {
    for (const name of ["open", "high", "low", "close"]) add(name[0].toUpperCase(), price(row[name], view.digits));
    if (row.volume) add("Vol", row.volume.toLocaleString("en-US", { maximumFractionDigits: 0 }));
  }
  for (const forecast of view.forecasts) {
    const step = forecast.times.indexOf(time);
    if (step < 0) continue;
    const values = ["low", "median", "high"].map((name) => price(forecast[name][step], view.digits));
    add(forecast.short ?? bandNames(forecast).join(" / "), values.join(" / "), forecast.look);
  }
  node.replaceChildren(...parts);
}

/** Count the steps with a known close, and those whose close is within the envelope. */
export function outcome(view, forecast) {
  const closes = new Map(view.candles.map((row) => [row.time, row.close]));
  let known = 0;
  let inside = 0;
  forecast.times.forEach((time, step) => {
    const close = closes.get(time);
    if (close === undefined || close === null) return;
    known += 1;
    if (close >= forecast.low[step] && close <= forecast.high[step]) inside += 1;
  });
  return { known, inside };
}

/** Show the origin of a forecast: last candle, model, seed and horizon. */
export function showFacts(node, view) {
  const facts = [["From candle", `${stamp(view.asOf, view.timeframe)}${isDated(view.timeframe) ? "" : " UTC"}`]];
  if (view.lastClose !== null) facts.push(["Last close", price(view.lastClose, view.digits)]);
  const row = view.row;
  if (row) {
    facts.push(["Last written", `${stamp(Date.parse(row.updated_at ?? row.created_at))} UTC`]);
    const active = (row.event_context?.events_active ?? []).map((name) => NAMES[name] ?? name);
    facts.push(["Active events", active.join(", ") || "none"]);
  }
  const [first] = view.forecasts;
  if (first) {
    facts.push(["Model", [`${first.model} `, small((first.version ?? "").slice(0, 12))]]);
    if (first.seed !== null) facts.push(["Seed", String(first.seed)]);
    facts.push(["Reaches", `${stamp(first.times.at(-1), view.timeframe)} ${isDated(view.timeframe) ? "" : "UTC"}`]);
  } else {
    facts.push(["Stored", "none yet"]);
  }
  pairs(node, facts);
}

/** List the warnings of a stored forecast. */
export function showWarnings(list, view) {
  const texts = view.row?.warnings ?? [];
  list.replaceChildren(...texts.map((text) => make("li", { text })));
  list.hidden = texts.length === 0;
}

/** Compare the forecasts at their horizon, and count the later closes within each envelope. */
export function showHorizon(table, view) {
  table.hidden = view.forecasts.length === 0;
  if (table.hidden) return;
  const heads = view.forecasts.map(({ name, look }) => Object.assign(make("th", { text: name, className: look }), { scope: "col" }));
  const row = (label, cell) => {
    const first = Object.assign(make("th", { text: label }), { scope: "row" });
    return make("tr", { children: [first, ...view.forecasts.map((one) => make("td", { children: cell(one) }))] });
  };
  const steps = view.forecasts[0].times.length;
  const [low, , high] = bandNames(view.forecasts[0]);
  const rows = [["high", high], ["median", "Median"], ["low", low]].map(([name, label]) => row(label, (one) => {
    const value = one[name].at(-1);
    return [price(value, view.digits), small(change(value, view.lastClose))];
  }));
  if (outcome(view, view.forecasts[0]).known) {
    rows.push(row("Closes inside", (one) => {
      const { known, inside } = outcome(view, one);
      return [`${inside} of ${known}`, small(`${Math.round((100 * inside) / known)} %`)];
    }));
  }
  const title = make("th", { text: `After ${steps} candles` });
  const head = make("thead", { children: [make("tr", { children: [title, ...heads] })] });
  table.replaceChildren(head, make("tbody", { children: rows }));
}

const percent = (share) => `${Math.round(100 * share)}\u00a0%`;

/** Show the share of the paths that end above a price or reach it, if a forecast has probabilities. */
export function showOdds(card, view) {
  const forecasts = view.forecasts.filter((one) => one.statistics?.probabilities);
  card.hidden = forecasts.length === 0;
  if (card.hidden) return;
  const row = (label, cell) => {
    const first = Object.assign(make("th", { children: label }), { scope: "row" });
    return make("tr", { children: [first, ...forecasts.map((one) => make("td", { children: cell(one.statistics.probabilities) }))] });
  };
  const at = (list, price) => list?.find((one) => one.price === price)?.probability.at(-1);
  const cell = (found, price) => {
    const [above, touched] = [at(found.close_above, price), at(found.touch, price)];
    return [above === undefined ? "" : percent(above), small(touched === undefined ? "" : `touched ${percent(touched)}`)];
  };
  const lists = forecasts.flatMap(({ statistics: { probabilities: found } }) => [...(found.close_above ?? []), ...(found.touch ?? [])]);
  const prices = [...new Set(lists.map((one) => one.price))].sort((one, other) => other - one);
  const heads = forecasts.map(({ name, look }) => Object.assign(make("th", { text: name, className: look }), { scope: "col" }));
  const title = make("th", { text: `Close after ${forecasts[0].times.length} candles above` });
  card.querySelector("table").replaceChildren(
    make("thead", { children: [make("tr", { children: [title, ...heads] })] }),
    make("tbody", { children: [
      row(["last close"], (found) => [percent(found.up.at(-1))]),
      ...prices.map((one) => row([price(one, view.digits), small(change(one, view.lastClose))], (found) => cell(found, one))),
    ] }),
  );
  const { paths } = forecasts[0].statistics;
  card.querySelector(".note").textContent = `Shares of ${paths} sample paths, not calibrated. Touched: in any candle on the way.`;
}

/** Fill the table of values: for readers who do not see the chart, and for copying. */
export function showValues(details, view) {
  details.hidden = view.forecasts.length === 0;
  if (details.hidden) return;
  const closes = new Map(view.candles.map((row) => [row.time, row.close]));
  const head = ["Time, UTC"];
  for (const { short, band } of view.forecasts) {
    head.push(...bandNames({ band }).map((name) => (short ? `${name}, ${short}` : name)));
  }
  head.push("close since");
  const times = view.forecasts[0].times;
  const body = times.map((time, step) => {
    const cells = view.forecasts.flatMap((one) => [one.low[step], one.median[step], one.high[step]]);
    const values = [...cells, closes.get(time) ?? null].map((value) => price(value, view.digits));
    const first = make("th", { text: stamp(time, view.timeframe) });
    first.scope = "row";
    return make("tr", { children: [first, ...values.map((text) => make("td", { text }))] });
  });
  const titles = head.map((text) => Object.assign(make("th", { text }), { scope: "col" }));
  const headRow = make("thead", { children: [make("tr", { children: titles })] });
  details.querySelector("table").replaceChildren(headRow, make("tbody", { children: body }));
}

/** List the releases after the last candle used, grouped by time. */
export function showEvents(node, view) {
  const moments = new Map();
  for (const event of view.events.filter((one) => one.time > view.decided)) {
    moments.set(event.time, [...(moments.get(event.time) ?? []), event]);
  }
  const shown = [...moments].slice(0, MOMENTS_SHOWN);
  node.replaceChildren(...shown.map(([moment, events]) => {
    const time = make("time", { text: weekday(moment, events.every((event) => event.time_known)) });
    time.dateTime = new Date(moment).toISOString();
    const lines = events.flatMap((event) => {
      const figures = ["actual", "forecast", "previous"]
        .filter((name) => event[name] !== null)
        .map((name) => `${name} ${figure(event[name])}`);
      const title = make("span", { text: `${event.currency ?? ""} ${event.title}` });
      return figures.length ? [title, small(figures.join(" · "))] : [title];
    });
    return make("li", { children: [time, ...lines] });
  }));
  if (shown.length === 0) node.append(make("li", { text: "None in the calendar." }));
}

const SVG = "http://www.w3.org/2000/svg";

function swatch(inside) {
  const node = document.createElementNS(SVG, "svg");
  node.setAttribute("viewBox", "0 0 22 12");
  node.setAttribute("aria-hidden", "true");
  node.innerHTML = inside;
  return node;
}

/** Explain the elements of the chart. */
export function showLegend(node, view) {
  const items = [
    ['<path d="M6 0v12M16 0v12" stroke="var(--muted)"/><rect x="3" y="3" width="6" height="6" fill="var(--surface)" stroke="var(--up)"/><rect x="13" y="3" width="6" height="6" fill="var(--down)"/>', "candle up, down"],
  ];
  for (const { look, name, samples, calibrated, band } of view.forecasts) {
    const [low, , high] = bandNames({ band });
    const colour = `var(--${look})`;
    const dash = look === "other" ? ' stroke-dasharray="5 3"' : "";
    items.push([`<rect width="22" height="12" fill="${colour}" opacity=".2"/><path d="M0 6h22" stroke="${colour}" stroke-width="2"${dash}/>`, `${name}: ${low} – ${high} and median`]);
    if (samples?.length) items.push([`<path d="M0 9l6-5 5 4 5-6 6 3" fill="none" stroke="${colour}" opacity=".6"/>`, `${samples.length} sample paths`]);
    if (calibrated) items.push([`<path d="M0 3h22M0 9h22" stroke="${colour}" stroke-dasharray="1.5 2"/>`, "p10, p90 calibrated"]);
  }
  if (view.events.length) {
    items.push(['<path d="M11 1l5 5-5 5-5-5z" fill="var(--event)"/>', "release: hover or tap for figures"]);
  }
  node.replaceChildren(...items.map(([inside, text]) => make("li", { children: [swatch(inside), text] })));
}
