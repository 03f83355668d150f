// One axis for candles and forecast: every candle has the same width, so nights and weekends take no room.

import { tick } from "./format.js";

const UNIT = { "1h": 3600e3, "1d": 86400e3 };

export class Timeline {
  /** `times` are instants in ms, of candles and of forecast steps, in any order. */
  constructor(times, timeframe) {
    this.times = [...new Set(times)].sort((one, other) => one - other);
    this.timeframe = timeframe;
    this.places = new Map(this.times.map((time, place) => [time, place]));
  }

  /** Return the place of a candle. */
  at(time) {
    return this.places.get(time);
  }

  /** Return where between the candles an instant falls, or null before the first; a candle reaches ±0.5. */
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

  /** Return some ten round places between two, with their texts. */
  ticks(from, to, count) {
    const first = Math.max(0, Math.ceil(from));
    const last = Math.min(this.times.length - 1, Math.floor(to));
    const step = Math.max(1, Math.ceil((last - first + 1) / count));
    const places = [];
    for (let place = Math.ceil(first / step) * step; place <= last; place += step) places.push(place);
    const texts = places.map((place, i) =>
      tick(this.times[place], i ? this.times[places[i - 1]] : null, this.timeframe));
    return { places, texts };
  }
}
