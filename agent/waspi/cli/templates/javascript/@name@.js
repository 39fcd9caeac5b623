/// <reference path="waspi.d.ts" />

// What the function takes and gives: "text", "bytes", "json" or "cbor".
export const waspi = { encoding: "text" };

/** @type {Waspi.Function<string, string>} */
export default function (input, context) {
  return input.toUpperCase();
}
