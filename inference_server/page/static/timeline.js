// Places candles and forecast steps on one axis without gaps for nights and weekends.

import { tick } from "./format.js";
import { DAY, isDated, UNIT } from "./timeframes.js";

const MINUTE = UNIT["1m"];
const HOUR = UNIT["1h"];

const every = (span) => (time) => Math.floor(time / span);
const week = (time) => Math.floor((time / DAY + 3) / 7); // 1 January 1970 was a Thursday; weeks begin on Monday
const months = (number) => (time) => {
  const at = new Date(time);
  return Math.floor((at.getUTCFullYear() * 12 + at.getUTCMonth()) / number);
};

// Functions from an instant to the number of its period, from the shortest period to the longest.
const LONG = [week, months(1), months(3), months(12), months(60)];
const SHORTEST = [every(5 * MINUTE), every(15 * MINUTE), every(30 * MINUTE)];
const SHORT = [...SHORTEST, every(HOUR), every(3 * HOUR), every(6 * HOUR), every(12 * HOUR)];
const DAYS = [every(DAY), every(2 * DAY), ...LONG];

function periodsOf(timeframe) {
  if (isDated(timeframe)) return DAYS;
  return [...(UNIT[timeframe] < HOUR ? SHORT : SHORT.slice(SHORTEST.length)), ...DAYS];
}

export class Timeline {
  /** `times` are instants in ms, of candles and of forecast steps, in any order. */
  constructor(times, timeframe) {
    this.times = [...new Set(times)].sort((a, b) => a - b);
    this.timeframe = timeframe;
    this.places = new Map(this.times.map((time, place) => [time, place]));
  }

  /** Return the place of a candle. */
  at(time) {
    return this.places.get(time);
  }

  /** Return the position of an instant, null before the first candle; a candle spans ±0.5. */
  within(time) {
    let low = 0;
    let high = this.times.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.times[middle] <= time) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return null;
    const share = (time - this.times[low - 1]) / UNIT[this.timeframe];
    if (low === this.times.length && share >= 1) return null;
    return low - 1.5 + Math.min(1, share);
  }

  /** Return at most `count` places between two at which a new hour, day, month … begins, with their texts. */
  ticks(from, to, count) {
    const first = Math.max(1, Math.ceil(from + 0.03 * (to - from))); // a text at the edge would be cut off
    const last = Math.min(this.times.length - 1, Math.floor(to));
    let places = [];
    let dates = true;
    for (const period of periodsOf(this.timeframe)) {
      places = [];
      for (let place = first; place <= last; place += 1) {
        if (period(this.times[place]) !== period(this.times[place - 1])) places.push(place);
      }
      dates = isDated(this.timeframe) || !SHORT.includes(period);
      if (places.length <= count) break;
    }
    const room = (0.6 * (to - from)) / count; // after a weekend a period may begin right after another
    places = places.filter((place, i) => i === 0 || place - places[i - 1] >= room);
    const texts = places.map((place, i) =>
      tick(this.times[place], i ? this.times[places[i - 1]] : null, dates));
    return { places, texts };
  }
}
