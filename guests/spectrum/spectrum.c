// Magnitude spectrum: f32 little-endian samples in, f32 little-endian magnitudes out, in place.
//
// n samples are zero-padded to N, the next power of two; the result is |X[k]| for k = 0 .. N/2 of
// X[k] = sum x[t] exp(-2 pi i k t / N), without scaling. N/2 + 1 <= n for n >= 2, and one sample gives one magnitude, so
// the result always fits the input's buffer. An input that is no multiple of four bytes traps.

#include <stddef.h>
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define PAGE 65536u

typedef struct {
  double re, im;
} complex;

extern unsigned char __heap_base; // the linker puts it behind stack and data
static uintptr_t top;

// A stack of buffers, as in ../append/c/append.c; 16 bytes aligned because complex numbers are put there.
EXPORT("alloc") unsigned char *alloc(size_t size) {
  uintptr_t begin = ((top ? top : (uintptr_t)&__heap_base) + 15) & ~(uintptr_t)15;
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

// Sine and cosine of pi / 2^level for level >= 0, by halving the angle: no library needed, and exact to the last bits.
static complex root(unsigned level) {
  complex w = {-1, 0}; // exp(i pi)
  for (unsigned i = 0; i < level; i++) {
    // exp(i a/2) = (1 + exp(i a)) / |1 + exp(i a)|; for a = pi that is 0 / 0, and the root is i
    double re = 1 + w.re, im = w.im, length = __builtin_sqrt(re * re + im * im);
    w = i == 0 ? (complex){0, 1} : (complex){re / length, im / length};
  }
  return w;
}

// Radix-2 decimation in time (Cooley and Tukey 1965) over n = 2^bits points in place.
static void transform(complex *x, size_t n) {
  for (size_t i = 1, j = 0; i < n; i++) { // bit-reversed order
    size_t bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      complex swap = x[i];
      x[i] = x[j];
      x[j] = swap;
    }
  }
  unsigned level = 0;
  for (size_t half = 1; half < n; half <<= 1, level++) {
    complex step = root(level);
    complex w = {1, 0};
    for (size_t k = 0; k < half; k++) {
      for (size_t even = k; even < n; even += 2 * half) {
        complex a = x[even], b = x[even + half];
        complex t = {b.re * w.re + b.im * w.im, b.im * w.re - b.re * w.im}; // b * conj(w): the forward direction
        x[even] = (complex){a.re + t.re, a.im + t.im};
        x[even + half] = (complex){a.re - t.re, a.im - t.im};
      }
      w = (complex){w.re * step.re - w.im * step.im, w.re * step.im + w.im * step.re};
    }
  }
}

EXPORT("spectrum") size_t spectrum(unsigned char *pointer, size_t size) {
  if (size % sizeof(float)) __builtin_trap();
  size_t count = size / sizeof(float), n = 1;
  if (count == 0) return 0;
  while (n < count) n <<= 1;
  uintptr_t before = top;
  size_t bytes;
  if (__builtin_mul_overflow(n, sizeof(complex), &bytes)) __builtin_trap();
  complex *x = (complex *)alloc(bytes);
  for (size_t i = 0; i < n; i++) {
    float sample = 0;
    if (i < count) __builtin_memcpy(&sample, pointer + i * sizeof sample, sizeof sample);
    x[i] = (complex){sample, 0};
  }
  transform(x, n);
  for (size_t k = 0; k <= n / 2; k++) {
    float magnitude = (float)__builtin_sqrt(x[k].re * x[k].re + x[k].im * x[k].im);
    __builtin_memcpy(pointer + k * sizeof magnitude, &magnitude, sizeof magnitude);
  }
  top = before; // the work space goes, the host's buffer stays
  return (n / 2 + 1) * sizeof(float);
}
