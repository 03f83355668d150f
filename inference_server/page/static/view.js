// Builds the view of a symbol, which chart and panels show, from the server's answers.

import * as api from "./api.js";
import { digitsOf } from "./format.js";
import { DAY, isDated, UNIT } from "./timeframes.js";
import { Timeline } from "./timeline.js";

export const STORED_BAND = 80; // per cent: a row holds p10 and p90
const LONGEST_CALENDAR = 3 * 365 * DAY;

function rowsOf(columns) {
  return columns.timestamp.map((time, i) => ({
    time: Date.parse(time),
    open: columns.open[i], high: columns.high[i], low: columns.low[i], close: columns.close[i],
    volume: columns.volume[i],
  }));
}

/** Return a stored row as a forecast to draw. */
function storedForecast(row) {
  const calibrated = row.p10_calibrated && row.p90_calibrated ? [row.p10_calibrated, row.p90_calibrated] : null;
  return {
    name: "Stored forecast", look: "fan", times: row.timestamps.map(Date.parse),
    band: STORED_BAND, low: row.p10, median: row.p50, high: row.p90, calibrated, statistics: row.statistics,
    model: row.model_name, version: row.model_version, seed: row.seed,
  };
}

/** Return an answer of /predict as a forecast to draw; its two quantiles hold a `band` between them, in per cent. */
export function answeredForecast(answer, { name, short, look }, pathsShown, band) {
  const [low, high] = answer.statistics.quantiles.close;
  return {
    name, short, look, times: answer.timestamps.map(Date.parse),
    band, low, median: answer.p50, high, samples: answer.samples.slice(0, pathsShown),
    statistics: answer.statistics,
    model: answer.model.name, version: answer.model.version, seed: answer.seed,
  };
}

/** Read the data of a symbol at a stored forecast, or at its newest candles if `row` is null. */
export async function readView({ symbol, assetClass, tickSize, timeframe, history, row }) {
  const times = row ? row.timestamps.map(Date.parse) : [];
  const end = times.length ? times.at(-1) + UNIT[timeframe] : null;
  const query = { timeframe, limit: history + times.length, before: end && new Date(end).toISOString() };
  const candles = rowsOf(await api.candles(symbol, query));
  const asOf = row ? Date.parse(row.as_of) : candles.at(-1)?.time ?? null;
  const before = candles.filter((candle) => candle.time <= asOf).slice(-history);
  const after = candles.filter((candle) => candle.time > asOf);
  const shown = [...before, ...after];
  const lastClose = before.at(-1)?.time === asOf ? before.at(-1).close : null;
  const decided = times[0] ?? (asOf ?? 0) + UNIT[timeframe];
  const events = shown.length === 0 ? [] : await readEvents(symbol, shown[0].time, Math.max(end ?? 0, decided + (isDated(timeframe) ? 60 : 14) * DAY));
  const view = {
    key: `${symbol} ${timeframe} ${asOf} ${history}`, symbol, timeframe, candles: shown, asOf, lastClose, decided, events, row,
    digits: digitsOf(lastClose ?? row?.p50[0] ?? 1, assetClass, tickSize), forecasts: row ? [storedForecast(row)] : [],
  };
  return withTimeline(view);
}

/** Return a view with other forecasts in it. */
export function withForecasts(view, forecasts) {
  return withTimeline({ ...view, forecasts });
}

function withTimeline(view) {
  const steps = view.forecasts.flatMap((forecast) => forecast.times);
  return { ...view, timeline: new Timeline([...view.candles.map((row) => row.time), ...steps], view.timeframe) };
}

async function readEvents(symbol, from, to) {
  const start = Math.max(from, to - LONGEST_CALENDAR);
  const query = { symbol, start: new Date(start).toISOString(), end: new Date(to).toISOString() };
  const { events } = await api.calendar(query);
  return events.map((event) => ({ ...event, time: Date.parse(event.event_time) }));
}
