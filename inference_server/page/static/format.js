// Formats prices, figures and times (UTC) as text.

import { isDated } from "./timeframes.js";

/** Return the number of decimals for the prices of a market: those of its tick size, else by their magnitude. */
export function digitsOf(reference, assetClass, tickSize = null) {
  if (tickSize) return decimalsOf(tickSize);
  const size = Math.abs(reference);
  if (assetClass === "fx") return size >= 20 ? 3 : 5;
  if (size >= 10) return 2;
  if (size >= 0.1) return 4;
  // Five significant digits for very small prices.
  return size > 0 ? Math.min(20, Math.max(8, 4 - Math.floor(Math.log10(size)))) : 8;
}

function decimalsOf(tickSize) {
  for (let digits = 0; digits < 20; digits++) if (Number(tickSize.toFixed(digits)) === tickSize) return digits;
  return 20;
}

/** Return a price with a number of decimals. */
export function price(value, digits) {
  if (value === null || !Number.isFinite(value)) return "–";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return a change against a price in percent, signed; nothing where that price is not above zero. */
export function change(value, from) {
  if (!Number.isFinite(value) || !(from > 0)) return "";
  const percent = (value / from - 1) * 100;
  return `${percent < 0 ? "−" : "+"}${Math.abs(percent).toFixed(2)} %`;
}

/** Return a figure of a release, abbreviated for thousands and millions. */
export function figure(value) {
  if (value === null) return null;
  const size = Math.abs(value);
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}K`;
  return trim(value);
}

function trim(value) {
  return Number(value.toFixed(3)).toString().replace("-", "−");
}

/** Return an instant (ms) as 2024-12-18 19:00; a daily or weekly candle as its date. */
export function stamp(ms, timeframe = "1h") {
  const text = new Date(ms).toISOString();
  return isDated(timeframe) ? text.slice(0, 10) : `${text.slice(0, 10)} ${text.slice(11, 16)}`;
}

const DAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Return an instant (ms) as Wed 18 Dec 19:00. */
export function weekday(ms, timeKnown = true) {
  const at = new Date(ms);
  const day = `${DAYS[at.getUTCDay()]} ${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  return timeKnown ? `${day} ${at.toISOString().slice(11, 16)}` : day;
}

/** Return a tick's text, in one or two lines: a date, or the time with the date where that changes. */
export function tick(ms, previous, dates) {
  const at = new Date(ms);
  const before = previous === null ? null : new Date(previous);
  const newYear = before === null || before.getUTCFullYear() !== at.getUTCFullYear();
  const date = `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  if (dates) return newYear ? `${date}<br>${at.getUTCFullYear()}` : date;
  const time = at.toISOString().slice(11, 16);
  const newDay = before === null || before.getUTCDate() !== at.getUTCDate() || newYear;
  return newDay ? `${time}<br>${date}${newYear ? ` ${at.getUTCFullYear()}` : ""}` : time;
}
