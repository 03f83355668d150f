// Facts about the timeframes of candles.

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Length of a candle in ms. */
export const UNIT = {
  "1m": MINUTE, "5m": 5 * MINUTE, "15m": 15 * MINUTE, "30m": 30 * MINUTE,
  "1h": HOUR, "2h": 2 * HOUR, "4h": 4 * HOUR, "1d": DAY, "1w": 7 * DAY,
};

/** Return whether candles are stamped with a date, not with their open. */
export const isDated = (timeframe) => UNIT[timeframe] >= DAY;
