// Sentences of a GNSS receiver (NMEA 0183) to one position: RMC and GGA, their checksums checked; others are passed over.
export const waspi = { encoding: "text" };

function degrees(text, hemisphere) {
  const [, whole, minutes] = /^(\d+)(\d\d\.\d+)$/.exec(text) ?? [];
  if (whole === undefined) return null;
  const value = Number(whole) + Number(minutes) / 60;
  return Math.round((/[SW]/.test(hemisphere) ? -value : value) * 1e6) / 1e6;
}

const number = (text) => (text === "" || text === undefined || Number.isNaN(Number(text)) ? null : Number(text));

export default function (text) {
  const position = {};
  let read = 0, damaged = 0;
  for (const line of text.split(/\r?\n/)) {
    const found = /^\$([^*]+)\*([0-9A-Fa-f]{2})\s*$/.exec(line);
    if (!found) continue;
    const sum = [...found[1]].reduce((all, letter) => all ^ letter.charCodeAt(0), 0);
    if (sum !== parseInt(found[2], 16)) { damaged++; continue; }
    const field = found[1].split(",");
    if (field[0].endsWith("RMC") && field[2] === "A") {
      Object.assign(position, { latitude: degrees(field[3], field[4]), longitude: degrees(field[5], field[6]),
                                speed_knots: number(field[7]), course: number(field[8]) });
      read++;
    } else if (field[0].endsWith("GGA") && field[6] !== "0") {
      Object.assign(position, { latitude: degrees(field[2], field[3]), longitude: degrees(field[4], field[5]),
                                satellites: number(field[7]), altitude_m: number(field[9]) });
      read++;
    }
  }
  return JSON.stringify({ ...position, sentences: read, damaged });
}
