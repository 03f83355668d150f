// Draws candles, envelopes, sample paths and releases with Plotly.

import { stamp, figure } from "./format.js";

const KINDS = {
  fomc: ["FOMC", "diamond"],
  rate_decision: ["Rate", "diamond"],
  cpi: ["CPI", "square"],
  pce: ["PCE", "square"],
  nfp: ["NFP", "triangle-up"],
  gdp: ["GDP", "pentagon"],
  earnings: ["Earnings", "star"],
};
const LABEL_ROOM = 44;
const MANY_EVENTS = 60;

/** Return the colours of the page's current theme. */
function theme() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const names = ["surface", "ink", "muted", "grid", "line", "fan", "other", "up", "down", "event", "ahead"];
  return Object.fromEntries(names.map((name) => [name, read(name)]));
}

function faded(colour, alpha) {
  const value = parseInt(colour.slice(1), 16);
  return `rgba(${value >> 16}, ${(value >> 8) & 255}, ${value & 255}, ${alpha})`;
}

function candleTrace(view, colours) {
  const rows = view.candles.filter((row) => view.timeline.at(row.time) !== undefined && row.close !== null);
  const pick = (name) => rows.map((row) => row[name]);
  return {
    type: "candlestick", name: "Candles", x: rows.map((row) => view.timeline.at(row.time)),
    open: pick("open"), high: pick("high"), low: pick("low"), close: pick("close"),
    increasing: { line: { color: colours.up, width: 1 }, fillcolor: colours.surface },
    decreasing: { line: { color: colours.down, width: 1 }, fillcolor: colours.down },
    hoverinfo: "none", showlegend: false,
  };
}

/** Return the traces of a forecast, whose lines begin at the last close. */
function forecastTraces(view, forecast, colour, dash) {
  const anchor = view.timeline.at(view.asOf);
  const opened = view.lastClose !== null && anchor !== undefined;
  const x = forecast.times.map((time) => view.timeline.at(time));
  const places = opened ? [anchor, ...x] : x;
  const line = (values) => (opened ? [view.lastClose, ...values] : values);
  const common = { type: "scatter", mode: "lines", x: places, hoverinfo: "none", showlegend: false };
  const traces = [
    { ...common, y: line(forecast.low), line: { color: faded(colour, 0.55), width: 1 } },
    {
      ...common, y: line(forecast.high), fill: "tonexty", fillcolor: faded(colour, 0.16),
      line: { color: faded(colour, 0.55), width: 1 },
    },
  ];
  for (const path of forecast.samples ?? []) {
    traces.push({ ...common, y: line(path), line: { color: faded(colour, 0.25), width: 0.9 } });
  }
  if (forecast.calibrated) {
    for (const values of forecast.calibrated) {
      traces.push({ ...common, y: line(values), line: { color: colour, width: 1, dash: "dot" } });
    }
  }
  traces.push({ ...common, y: line(forecast.median), line: { color: colour, width: 2, dash } });
  return traces;
}

/** Return the events within the timeline, grouped by time. */
function eventGroups(view) {
  const groups = new Map();
  for (const event of view.events) {
    const place = view.timeline.within(event.time);
    if (place === null) continue;
    if (!groups.has(event.time)) groups.set(event.time, { place, time: event.time, events: [] });
    groups.get(event.time).events.push(event);
  }
  const all = [...groups.values()].map((group) => {
    const known = group.events.find((event) => event.event_type in KINDS);
    return { ...group, kind: known ? KINDS[known.event_type] : [null, "circle"] };
  });
  return all.length > MANY_EVENTS ? all.filter((group) => group.kind[0]) : all;
}

function eventText(group) {
  const known = group.events.every((event) => event.time_known);
  const lines = group.events.map((event) => {
    const figures = ["actual", "forecast", "previous"]
      .filter((name) => event[name] !== null)
      .map((name) => `${name} ${figure(event[name])}`);
    const title = `<b>${event.currency ?? ""} ${event.title}</b>${event.scheduled ? "" : " (unscheduled)"}`;
    return figures.length ? `${title}<br>${figures.join(" · ")}` : title;
  });
  const when = known ? `${stamp(group.time)} UTC` : `${stamp(group.time, "1d")}, time not known`;
  return [when, ...lines].join("<br>");
}

function eventTrace(groups, colours) {
  return {
    type: "scatter", mode: "markers", yaxis: "y2", name: "Events", showlegend: false,
    x: groups.map((group) => group.place), y: groups.map(() => 0),
    marker: {
      symbol: groups.map((group) => group.kind[1]),
      size: groups.map((group) => (group.kind[0] ? (groups.length > 30 ? 8 : 10) : 6)),
      color: groups.map((group) => (group.kind[0] ? colours.event : colours.muted)),
    },
    text: groups.map(eventText), hovertemplate: "%{text}<extra></extra>",
    hoverlabel: { align: "left", bgcolor: colours.surface, bordercolor: colours.line, font: { color: colours.ink } },
  };
}

/** Return the events to label without overlap, rate decisions first. */
function labelled(groups, pixelsPerPlace) {
  const rank = (group) => (group.kind[0] === "FOMC" ? 0 : 1);
  const named = groups.filter((group) => group.kind[0]).sort((a, b) => rank(a) - rank(b));
  const taken = [];
  for (const group of named) {
    if (taken.every((other) => Math.abs(other.place - group.place) * pixelsPerPlace >= LABEL_ROOM)) {
      taken.push(group);
    }
  }
  return taken;
}

/** Draws views into a node; `onPlace` receives the position under the pointer. */
export class Chart {
  constructor(node, onPlace) {
    this.node = node;
    this.onPlace = onPlace;
    this.place = null;
    this.bound = false;
  }

  draw(view) {
    this.view = view;
    this.colours = theme();
    this.groups = eventGroups(view);
    const traces = [candleTrace(view, this.colours)];
    for (const forecast of view.forecasts) {
      const other = forecast.look === "other";
      traces.push(...forecastTraces(view, forecast, this.colours[forecast.look], other ? "dash" : "solid"));
    }
    traces.push(eventTrace(this.groups, this.colours));
    const range = [-1, view.timeline.times.length];
    const config = {
      displaylogo: false, responsive: true, showTips: false, doubleClick: "reset",
      // An explicit list: Plotly's default has a button that uploads the chart.
      modeBarButtons: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
    };
    return globalThis.Plotly.react(this.node, traces, this.layout(range), config).then(() => this.bind());
  }

  layout(range) {
    const { view, colours } = this;
    const width = Math.max(200, this.node.clientWidth - 70);
    const ticks = view.timeline.ticks(...range, Math.max(3, Math.floor(width / 64)));
    const end = view.timeline.times.length - 0.5;
    const now = view.timeline.at(view.asOf) + 0.5;
    const labels = labelled(this.groups, width / (range[1] - range[0]))
      .filter((group) => group.place >= range[0] && group.place <= range[1]);
    const line = (x, style) => ({
      type: "line", xref: "x", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: style, layer: "below",
    });
    const text = (x, words, colour, y) => ({
      x, xref: "x", y, yref: "paper", text: words, showarrow: false, xanchor: "left", yanchor: "top", xshift: 3,
      font: { size: 11, color: colour },
    });
    const axis = { gridcolor: colours.grid, zeroline: false, tickfont: { color: colours.muted, size: 11 } };
    const shapes = labels.map((group) => line(group.place, { color: faded(colours.event, 0.5), width: 1, dash: "dot" }));
    const annotations = labels.map((group) => text(group.place, group.kind[0], colours.event, 1));
    if (Number.isFinite(now)) {
      shapes.unshift({
        type: "rect", xref: "x", x0: now, x1: end, yref: "paper", y0: 0, y1: 1,
        fillcolor: colours.ahead, line: { width: 0 }, layer: "below",
      });
      shapes.push(line(now, { color: colours.muted, width: 1.2 }));
      annotations.push({ ...text(now, "forecast →", colours.muted, 0.085), bgcolor: colours.ahead });
    }
    return {
      margin: { l: 6, r: 64, t: 8, b: 36 }, paper_bgcolor: colours.surface, plot_bgcolor: colours.surface,
      font: { family: getComputedStyle(document.body).fontFamily, color: colours.ink },
      hovermode: "closest", dragmode: "pan", showlegend: false, uirevision: view.key,
      modebar: { color: colours.muted, activecolor: colours.ink, bgcolor: "rgba(0,0,0,0)", orientation: "h" },
      xaxis: {
        ...axis, range, tickvals: ticks.places, ticktext: ticks.texts, rangeslider: { visible: false },
        showgrid: false, tickangle: 0, anchor: "y2", showspikes: true, spikemode: "across", spikesnap: "cursor",
        spikethickness: 1, spikedash: "dot", spikecolor: colours.muted,
      },
      yaxis: {
        ...axis, side: "right", domain: [0.08, 1], tickformat: `,.${view.digits}f`, nticks: 8, fixedrange: false,
        automargin: true,  // prices of eight digits are wider than the margin
      },
      yaxis2: { domain: [0, 0.06], range: [-1, 1], fixedrange: true, visible: false },
      shapes, annotations,
    };
  }

  /** Add the listeners for pointer, arrow keys and zoom, once. */
  bind() {
    if (this.bound) return;
    this.bound = true;
    const placeUnder = (event) => {
      const axis = this.node._fullLayout.xaxis;
      const box = this.node.getBoundingClientRect();
      return Math.round(axis.p2d(event.clientX - box.left - axis._offset));
    };
    this.node.addEventListener("pointermove", (event) => this.point(placeUnder(event)));
    this.node.addEventListener("pointerleave", () => this.point(null));
    this.node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      this.point((this.place ?? this.view.timeline.at(this.view.asOf) ?? 0) + step);
    });
    this.node.on("plotly_relayout", (change) => {
      if (!Object.keys(change).some((name) => name.startsWith("xaxis.") || name === "autosize")) return;
      const { tickvals, ticktext } = this.layout(this.node.layout.xaxis.range).xaxis;
      if (tickvals.join() !== this.node.layout.xaxis.tickvals.join()) {
        globalThis.Plotly.relayout(this.node, { "xaxis.tickvals": tickvals, "xaxis.ticktext": ticktext });
      }
    });
  }

  /** Report the selected candle or step; null for none. */
  point(place) {
    const last = this.view.timeline.times.length - 1;
    this.place = place === null ? null : Math.min(last, Math.max(0, place));
    this.onPlace(this.place);
  }
}
