// The reference guest in AssemblyScript: appends "<---- This is your string" in place.
// A failed assertion calls the import env.abort, which the host turns into a trap with file, line and column.

// AssemblyScript's own strings are UTF-16, the host speaks UTF-8: translated once, when the module starts.
const SUFFIX = String.UTF8.encode("<---- This is your string");

/** Address of a fresh buffer of `size` bytes. */
export function alloc(size: usize): usize {
  return heap.alloc(size);
}

/** Takes back what `alloc` gave. */
export function dealloc(pointer: usize, _size: usize): void {
  heap.free(pointer);
}

/** Reads `size` bytes at `pointer`, writes the result to the same place and returns its size. */
export function append(pointer: usize, size: usize): usize {
  assert(pointer != 0, "append() needs a buffer from alloc()");
  memory.copy(pointer + size, changetype<usize>(SUFFIX), SUFFIX.byteLength);
  return size + SUFFIX.byteLength;
}
