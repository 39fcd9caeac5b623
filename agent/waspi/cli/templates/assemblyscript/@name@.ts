// The host calls alloc, writes the input there, calls the entry, and reads the result at the same place.

export function alloc(size: usize): usize {
  return heap.alloc(size);
}

export function dealloc(pointer: usize, _size: usize): void {
  heap.free(pointer);
}

/** Upper case, in place. Returns the size of the result. */
export function run(pointer: usize, size: usize): usize {
  for (let at = pointer; at < pointer + size; at++) {
    const letter = load<u8>(at);
    if (letter >= 0x61 && letter <= 0x7a) store<u8>(at, letter - 32);
  }
  return size;
}
