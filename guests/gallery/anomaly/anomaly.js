// Statistics of a moving window, and how far the newest reading lies from it in standard deviations.
export const waspi = { encoding: "json" };

export default function ({ readings, window = 20, limit = 3 }) {
  if (!Array.isArray(readings) || readings.length < 2) throw new RangeError("two readings at least are needed");
  if (!readings.every(Number.isFinite)) throw new TypeError("readings must be numbers");
  if (!(window >= 2)) throw new RangeError("window must be 2 or more");
  const newest = readings.at(-1);
  const before = readings.slice(0, -1).slice(-window);
  const mean = before.reduce((sum, each) => sum + each, 0) / before.length;
  const deviation = Math.sqrt(before.reduce((sum, each) => sum + (each - mean) ** 2, 0) / before.length);
  const score = deviation > 0 ? Math.abs(newest - mean) / deviation : newest === mean ? 0 : limit;
  const round = (number) => Math.round(number * 1000) / 1000;
  return { newest, mean: round(mean), deviation: round(deviation), score: round(score), anomaly: score >= limit };
}
