// CSV (RFC 4180) to CBOR (RFC 8949): an array of maps by the names of the first line. Numbers become numbers.
export const waspi = { encoding: "bytes" };

function rows(text) {
  const all = [];
  let row = [], cell = "", quoted = false;
  for (let at = 0; at < text.length; at++) {
    const letter = text[at];
    if (quoted) {
      if (letter !== '"') cell += letter;
      else if (text[at + 1] === '"') cell += text[at++];
      else quoted = false;
    } else if (letter === '"' && cell === "") quoted = true;
    else if (letter === ",") row.push(cell), (cell = "");
    else if (letter === "\n") row.push(cell.replace(/\r$/, "")), all.push(row), (row = []), (cell = "");
    else cell += letter;
  }
  if (quoted) throw new RangeError("a quoted cell does not end");
  if (cell !== "" || row.length) row.push(cell.replace(/\r$/, "")), all.push(row);
  return all;
}

function head(out, major, number) {
  if (number < 24) out.push((major << 5) | number);
  else if (number < 0x100) out.push((major << 5) | 24, number);
  else if (number < 0x10000) out.push((major << 5) | 25, number >> 8, number & 255);
  else out.push((major << 5) | 26, number >>> 24, (number >> 16) & 255, (number >> 8) & 255, number & 255);
}

function put(out, value) {
  if (Number.isInteger(value) && Math.abs(value) < 2 ** 32) return head(out, value < 0 ? 1 : 0, value < 0 ? -1 - value : value);
  if (typeof value === "number") {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value);
    return out.push(0xfb, ...bytes);
  }
  const bytes = new TextEncoder().encode(value);
  head(out, 3, bytes.length);
  for (const byte of bytes) out.push(byte);
}

export default function (bytes) {
  const [names, ...lines] = rows(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (!names) throw new RangeError("there is no line with names");
  const out = [];
  head(out, 4, lines.length);
  lines.forEach((cells, number) => {
    if (cells.length !== names.length) throw new RangeError(`line ${number + 2} has ${cells.length} cells, not ${names.length}`);
    head(out, 5, names.length);
    names.forEach((name, column) => {
      put(out, name);
      put(out, /^-?\d+(\.\d+)?$/.test(cells[column]) ? Number(cells[column]) : cells[column]);
    });
  });
  return Uint8Array.from(out);
}
