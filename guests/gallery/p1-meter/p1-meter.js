// A telegram of a smart meter's P1 port (DSMR 5.0, "P1 Companion Standard") to JSON, its CRC16 checked.
export const waspi = { encoding: "text" };

const NAMES = {
  "1-0:1.8.1": "imported_low_kwh", "1-0:1.8.2": "imported_high_kwh", "1-0:2.8.1": "exported_low_kwh",
  "1-0:2.8.2": "exported_high_kwh", "1-0:1.7.0": "power_kw", "1-0:2.7.0": "returned_kw",
  "1-0:32.7.0": "voltage_l1_v", "0-0:96.14.0": "tariff", "0-1:24.2.1": "gas_m3",
};

// CRC-16/ARC: polynomial 0xA001, reversed, from 0; over everything from "/" to "!".
function crc16(text) {
  let crc = 0;
  for (const byte of new TextEncoder().encode(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0xa001 : crc >> 1;
  }
  return crc.toString(16).toUpperCase().padStart(4, "0");
}

export default function (telegram) {
  const found = /(\/[^]*?!)([0-9A-Fa-f]{4})/.exec(telegram);
  if (!found) throw new RangeError("no telegram: one begins with / and ends with ! and four hexadecimal digits");
  const sum = crc16(found[1]);
  if (sum !== found[2].toUpperCase()) throw new RangeError(`the telegram is damaged: its CRC is ${found[2]}, not ${sum}`);
  const values = { meter: /^\/(.*)/.exec(found[1])[1].trim() };
  for (const [, code, rest] of found[1].matchAll(/^(\d-\d:\d+\.\d+\.\d+)(\(.*\))/gm)) {
    if (!Object.hasOwn(NAMES, code)) continue;
    const number = /([\d.]+)(?:\*[A-Za-z0-9]+)?\)$/.exec(rest);
    if (number) values[NAMES[code]] = Number(number[1]);
  }
  return JSON.stringify(values);
}
