// The host calls alloc, writes the input there, calls the entry, and reads the result at the same place.
#include <stddef.h>

#define EXPORT(name) __attribute__((export_name(name)))

extern unsigned char __heap_base; // what the linker leaves free begins here
static size_t top;

EXPORT("alloc") unsigned char *alloc(size_t size) {
  size_t begin = top ? top : (size_t)&__heap_base, end;
  if (__builtin_add_overflow(begin, size, &end) || end > 0xffff0000u) __builtin_trap();
  size_t have = __builtin_wasm_memory_size(0), need = (end + 65535) / 65536;
  if (need > have && __builtin_wasm_memory_grow(0, need - have) == (size_t)-1) __builtin_trap();
  top = end;
  return (unsigned char *)begin;
}

EXPORT("dealloc") void dealloc(unsigned char *pointer, size_t size) {
  if ((size_t)pointer + size == top) top = (size_t)pointer;
}

// Upper case, in place. Returns the size of the result.
EXPORT("run") size_t run(unsigned char *pointer, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (pointer[i] >= 'a' && pointer[i] <= 'z') pointer[i] -= 32;
  return size;
}
