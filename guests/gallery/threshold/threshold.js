// A switch with hysteresis: on at or above `high`, off at or below `low`, as before in between.
export const waspi = { encoding: "json" };

export default function ({ value, low, high, on = false }) {
  for (const [name, number] of Object.entries({ value, low, high }))
    if (typeof number !== "number") throw new TypeError(`${name} must be a number`);
  if (low >= high) throw new RangeError(`low (${low}) must be below high (${high})`);
  const now = value >= high ? true : value <= low ? false : on;
  return { on: now, changed: now !== on };
}
