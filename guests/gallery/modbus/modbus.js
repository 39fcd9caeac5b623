// Modbus registers to named values with units. The map says what lies where: { at, type, scale, unit }.
export const waspi = { encoding: "json" };

const WORDS = { u16: 1, i16: 1, u32: 2, i32: 2, f32: 2 };

function read(registers, { at, type }) {
  const view = new DataView(new ArrayBuffer(4));
  for (let word = 0; word < WORDS[type]; word++) view.setUint16(2 * word, registers[at + word]); // high word first
  return { u16: () => view.getUint16(0), i16: () => view.getInt16(0), u32: () => view.getUint32(0),
           i32: () => view.getInt32(0), f32: () => view.getFloat32(0) }[type]();
}

export default function ({ registers, map }) {
  if (!Array.isArray(registers) || !registers.every((each) => Number.isInteger(each) && each >= 0 && each <= 0xffff))
    throw new TypeError("registers must be integers from 0 to 65535");
  const values = {};
  for (const [name, field] of Object.entries(map ?? {})) {
    if (!Object.hasOwn(WORDS, field?.type)) throw new TypeError(`${name}: type must be one of ${Object.keys(WORDS).join(", ")}`);
    if (!(Number.isInteger(field.at) && field.at >= 0 && field.at + WORDS[field.type] <= registers.length))
      throw new RangeError(`${name}: registers ${field.at} and on are not there`);
    const value = read(registers, field) * (field.scale ?? 1);
    values[name] = { value: Number.isFinite(value) ? Number(value.toPrecision(7)) : null, unit: field.unit };
  }
  return values;
}
