// Calls the server's routes with this tab's API key and turns refusals into errors.

const KEY = "kronos-api-key";

/** A refusal; `status` 0 means that the server did not answer. */
export class Refusal extends Error {
  constructor(status, detail, type = "") {
    super(detail);
    this.status = status;
    this.type = type;
  }
}

export function hasKey() {
  return sessionStorage.getItem(KEY) !== null;
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

export function forgetKey() {
  sessionStorage.removeItem(KEY);
}

async function ask(path, options = {}) {
  const headers = { accept: "application/json", ...options.headers };
  if (hasKey()) headers.authorization = `Bearer ${sessionStorage.getItem(KEY)}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. Is it running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refusal(response.status, body.detail ?? response.statusText, body.type);
  return body;
}

function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== null && value !== undefined);
  return new URLSearchParams(given).toString();
}

const path = (symbol) => `/predictions/${encodeURIComponent(symbol)}`;

export const model = () => ask("/model");
export const symbols = () => ask("/symbols");
export const candles = (symbol, options) => ask(`/candles/${encodeURIComponent(symbol)}?${query(options)}`);
export const calendar = (options) => ask(`/calendar?${query(options)}`);
export const prediction = (symbol, options) => ask(`${path(symbol)}?${query(options)}`);
export const history = (symbol, timeframe) => ask(`${path(symbol)}/history?${query({ timeframe })}`);
export const inputs = (symbol, options) => ask(`${path(symbol)}/inputs?${query(options)}`);

export function predict(request, signal) {
  return ask("/predict", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(request),
    signal,
  });
}
