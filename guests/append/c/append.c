// The reference guest in C, without a C library: appends "<---- This is your string" in place.

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define PAGE 65536u

static const char suffix[25] = "<---- This is your string"; // 25: no room for a terminating zero

extern unsigned char __heap_base; // the linker puts it behind stack and data
static uintptr_t top;

// A stack of buffers: what was given last can be taken back. More is not needed by one input at a time.
EXPORT("alloc") unsigned char *alloc(size_t size) {
  uintptr_t begin = top ? top : (uintptr_t)&__heap_base;
  uintptr_t end;
  if (__builtin_add_overflow(begin, size, &end) || end > UINTPTR_MAX - PAGE) __builtin_trap();
  size_t have = __builtin_wasm_memory_size(0), need = (end + PAGE - 1) / PAGE;
  if (need > have && __builtin_wasm_memory_grow(0, need - have) == SIZE_MAX) __builtin_trap();
  top = end;
  return (unsigned char *)begin;
}

EXPORT("dealloc") void dealloc(unsigned char *pointer, size_t size) {
  if ((uintptr_t)pointer + size == top) top = (uintptr_t)pointer;
}

EXPORT("append") size_t append(unsigned char *pointer, size_t size) {
  for (size_t i = 0; i < sizeof suffix; i++) pointer[size + i] = (unsigned char)suffix[i];
  return size + sizeof suffix;
}
